"""Run calls in threads that can be abandoned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar, cast

T = TypeVar("T")
_POLL_SECONDS = 0.05

# The thread of an event loop that waits for this thread, and so cannot finish its own streams.
waiting_thread: ContextVar[int | None] = ContextVar("waiting_thread", default=None)


class BackgroundCall(Generic[T]):
    """A call in a daemon thread; `value` and `error` are set at its end."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None

        def run() -> None:
            try:
                self.value = call()
            except BaseException as exc:
                self.error = exc

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def wait(self, check: Callable[[], object]) -> None:
        """Wait for the end, unless `check`, polled meanwhile, raises."""
        while self.thread.is_alive():
            self.thread.join(_POLL_SECONDS)
            check()

    def result(self) -> T:
        """Wait for the end; return the value or raise the error."""
        self.thread.join()
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


def acquire(lock: threading.Lock, check: Callable[[], object]) -> None:
    """Acquire a lock, unless `check`, polled meanwhile, raises."""
    while not lock.acquire(timeout=_POLL_SECONDS):
        check()


def run_cancellable(
    call: Callable[[], T],
    check: Callable[[], object],
    *,
    on_abandon: Callable[[threading.Thread], object] = lambda _: None,
) -> T:
    """Return `call()`, run in a thread that is abandoned if `check`, polled meanwhile, raises.

    `on_abandon` receives the abandoned thread, which runs to its end.
    """
    background = BackgroundCall(call)
    while background.thread.is_alive():
        background.thread.join(_POLL_SECONDS)
        try:
            check()
        except BaseException:
            if background.thread.is_alive():
                on_abandon(background.thread)
                raise
    return background.result()
