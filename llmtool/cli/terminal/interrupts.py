"""Stop signals received by the process, and the blocking calls that they may interrupt."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from llmtool.engine.types import Cancellation
from llmtool.errors import Cancelled


class Interrupts:
    """The state of the signal handlers.

    A signal sets the current `Cancellation`, which long operations check. It raises an exception
    only inside `interruptible`, so that no other code stops halfway.
    """

    def __init__(self) -> None:
        self._cancellation: Cancellation | None = None
        self._numbers: set[int] = set()
        self._is_waiting = False
        self._ignores_repeats = False

    def attach(self, cancellation: Cancellation) -> None:
        """Make signals set this cancellation."""
        self._cancellation = cancellation

    @property
    def is_attached(self) -> bool:
        return self._cancellation is not None

    @property
    def received(self) -> int | None:
        """The stop signal received, if any."""
        return None if self._cancellation is None else self._cancellation.reason

    def ignore_repeated_signals(self) -> None:
        """Let Ctrl-C stop only the current work, even if repeated, and not the process."""
        self._ignores_repeats = True

    def is_final(self, number: int) -> bool:
        """Whether this signal repeats an earlier one and must end the process."""
        return number in self._numbers and not (self._ignores_repeats and number == signal.SIGINT)

    def receive(self, number: int) -> None:
        """Record a signal.

        Raises:
            Cancelled: inside `interruptible`.
        """
        assert self._cancellation is not None
        self._numbers.add(number)
        self._cancellation.cancel(number)
        if self._is_waiting:
            raise stopped(number)

    def clear(self) -> None:
        """Reset after a Ctrl-C, once the work that it stopped has ended.

        Raises:
            Cancelled: another stop signal was received, which ends the process.
        """
        if self._cancellation is None:
            return
        others = self._numbers - {int(signal.SIGINT)}
        if others:
            raise stopped(max(others))
        self._numbers.clear()
        self._cancellation.reset()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal interrupt a blocking system call, such as a read from a terminal.

        Raises:
            Cancelled: a signal was received, before or inside the block.
        """
        self._is_waiting = True
        try:
            if self._cancellation is not None and self._cancellation.cancelled:
                raise stopped(self._cancellation.reason)
            yield
        finally:
            self._is_waiting = False


def stopped(number: int | None) -> Cancelled:
    """Return the error for a command that a signal stopped."""
    return Cancelled("stopped by a signal", reason=number)
