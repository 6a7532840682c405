"""Stop signals received by the process, and the blocking calls that they may interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from llmtool.cancellation import Cancellation
from llmtool.errors import Cancelled, TimeoutExpired

_WAKE_SIGNAL = getattr(signal, "SIGALRM", None)


class Interrupts:
    """The state of the signal handlers, and the time limit.

    A signal sets the current `Cancellation`, which long operations check, and so does the end of
    the time limit. An exception is raised only inside `interruptible`, so that no other code stops
    halfway.

    Attributes:
        expired: the error for the time limit, once it has been reached.
    """

    def __init__(self) -> None:
        self.expired: TimeoutExpired | None = None
        self._timer: threading.Timer | None = None
        self._cancellation: Cancellation | None = None
        self._numbers: set[int] = set()
        self._is_waiting = False
        self._ignores_repeats = False
        self._completes_output = False

    def attach(self, cancellation: Cancellation) -> None:
        """Make signals and the time limit set this cancellation."""
        self._cancellation = cancellation
        if self.expired is not None:
            cancellation.cancel()

    @property
    def is_attached(self) -> bool:
        return self._cancellation is not None

    @property
    def received(self) -> int | None:
        """The stop signal received, if any."""
        return None if self._cancellation is None else self._cancellation.reason

    def start_timer(self, seconds: float) -> None:
        """Set a time limit, from now on; `stop_timer` removes it."""
        self.stop_timer()
        self._timer = threading.Timer(
            min(seconds, threading.TIMEOUT_MAX), self._expire, args=(seconds,)
        )
        self._timer.daemon = True
        if _WAKE_SIGNAL is not None:
            signal.signal(_WAKE_SIGNAL, self._wake)
        self._timer.start()

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, seconds: float) -> None:
        """Stop the work of the main thread; called by the timer's thread."""
        message = f"not finished after {seconds:g} s; raise --timeout"
        self.expired = TimeoutExpired(message, seconds=seconds)
        if self._cancellation is not None:
            self._cancellation.cancel()
        if _WAKE_SIGNAL is not None:  # interrupts a blocking system call
            signal.pthread_kill(threading.main_thread().ident or 0, _WAKE_SIGNAL)

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_waiting and self.expired is not None:
            raise self.expired

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
        """Reset after a Ctrl-C or the time limit, once the work that it stopped has ended.

        Raises:
            Cancelled: another stop signal was received, which ends the process.
        """
        self.expired = None
        if self._cancellation is None:
            return
        others = self._numbers - {int(signal.SIGINT)}
        if others:
            raise stopped(max(others))
        self._numbers.clear()
        self._cancellation.reset()

    @contextmanager
    def completing_output(self) -> Iterator[None]:
        """Within the block, let an earlier signal not prevent a call that does not block.

        The results that were complete before the signal can then be written.
        """
        self._completes_output = True
        try:
            yield
        finally:
            self._completes_output = False

    def check(self) -> None:
        """Raise an error after a signal or the time limit; see `completing_output`.

        Raises:
            Cancelled: a signal was received.
            TimeoutExpired: the time limit was reached.
        """
        if self._completes_output:
            return
        if self.expired is not None:
            raise self.expired
        if self._cancellation is not None and self._cancellation.cancelled:
            raise stopped(self._cancellation.reason)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal interrupt a blocking system call, such as a read from a terminal.

        Raises:
            Cancelled: a signal was received, before or inside the block; see `completing_output`.
        """
        self._is_waiting = True
        try:
            self.check()
            yield
        finally:
            self._is_waiting = False


def stopped(number: int | None) -> Cancelled:
    """Return the error for a command that a signal stopped."""
    return Cancelled("stopped by a signal", reason=number)
