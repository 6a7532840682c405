"""Stop the calls of an engine: all of them, those of a block, or those that take too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from llmtool.errors import Cancelled, TimeoutExpired
from llmtool.forks import call_after_fork


class CancelScope:
    """A `with` block whose calls `cancel` stops, without the calls of other threads and tasks.

    It includes what the block runs with `asyncio`, also in `asyncio.to_thread`.
    """

    def __init__(self, cancellation: Cancellation) -> None:
        self.cancellation = cancellation
        self.cancelled = False

    def cancel(self) -> None:
        """Request a stop; for another thread."""
        self.cancelled = True
        self.cancellation.interrupt(self)

    def __enter__(self) -> CancelScope:
        _scopes.set((*_scopes.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        _scopes.set(tuple(each for each in _scopes.get() if each is not self))


_scopes: ContextVar[tuple[CancelScope, ...]] = ContextVar("_scopes", default=())


class Cancellation:
    """Stops an engine while it loads, between tokens and during a decode.

    `cancel` stops the calls of all threads, and `scope` returns a block that can be cancelled by
    itself. Native code reads `flag` as a C string: it is empty unless that code has to stop.
    """

    def __init__(self) -> None:
        self.flag = bytearray(2)
        self.reason: int | None = None
        self._all_cancelled = False
        self._running: tuple[CancelScope, ...] = ()  # those of the native code
        self._wakers: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        call_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def cancel(self, reason: int | None = None) -> None:
        """Request a stop. `reason` is the signal number if a signal caused it."""
        self.reason = reason
        self._all_cancelled = True  # a signal handler cannot wait for the lock
        self.flag[0] = 1
        self._wake()

    def scope(self) -> CancelScope:
        """Return a block to cancel by itself."""
        return CancelScope(self)

    @property
    def cancelled(self) -> bool:
        """Whether all calls or a block around this one are to stop."""
        scopes = _scopes.get()
        return self._all_cancelled or (
            bool(scopes) and any(each.cancelled for each in scopes if each.cancellation is self)
        )

    @contextmanager
    def running_native(self) -> Iterator[None]:
        """Make `flag` valid for native code of this thread; only one thread runs it at a time."""
        with self._lock:
            self._running = _scopes.get()
            if self.cancelled:
                self.flag[0] = 1
        try:
            yield
        finally:
            with self._lock:
                self._running = ()
                self.flag[0] = 0
                if self._all_cancelled:  # checked last: `cancel` may run meanwhile
                    self.flag[0] = 1

    def interrupt(self, scope: CancelScope) -> None:
        """Stop the native code if it runs in a scope."""
        with self._lock:
            if scope in self._running:
                self.flag[0] = 1
        self._wake()

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` when any stop is requested, in another thread or a signal handler.

        What waits in the block can then check whether it is cancelled.
        """
        self._wakers.append(wake)
        try:
            yield
        finally:
            self._wakers.remove(wake)

    def _wake(self) -> None:
        for wake in list(self._wakers):
            wake()

    def reset(self) -> None:
        """Clear the request of `cancel` after the work has stopped."""
        self.reason = None
        self._all_cancelled = False
        self.flag[0] = 0

    def clear_signal(self) -> None:
        """Clear the flag if a signal set it, not if the program did."""
        if self.reason is not None:
            self.reset()

    def check(self) -> None:
        """Raise `Cancelled` if a stop was requested."""
        if self.cancelled:
            raise Cancelled("cancelled", reason=self.reason)


class TimeLimit:
    """A block whose calls are stopped `seconds` after this object was created.

    It can be entered again, to read the next part of a stream in the time that is left, and also
    stops the calls of a forked child.

    Raises:
        TimeoutExpired: a call was stopped.
    """

    def __init__(self, cancellation: Cancellation, seconds: float) -> None:
        self._scope, self._seconds = cancellation.scope(), seconds
        self._end = time.monotonic() + seconds
        self._start_timer()
        call_after_fork(self)

    def _start_timer(self) -> None:
        left = min(max(self._end - time.monotonic(), 0), threading.TIMEOUT_MAX)
        self._timer = threading.Timer(left, self._scope.cancel)
        self._timer.daemon = True
        self._timer.start()

    def after_fork(self) -> None:
        self._start_timer()

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._scope.__exit__()
        if isinstance(error, Cancelled) and self._scope.cancelled:
            message = f"not finished after {self._seconds:g} s; allow more time"
            raise TimeoutExpired(message, seconds=self._seconds) from error

    def __del__(self) -> None:
        self._timer.cancel()
