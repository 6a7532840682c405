"""Signals while native code runs.

Python runs its signal handlers between bytecodes, so during one long `llama_decode` none of them
runs. The interpreter's wakeup file descriptor is written by the C-level handler at once; a thread
reads it and sets the cancellation's flag, which llama.cpp looks at between two nodes of its graph.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from llmtool.engine.types import Cancellation

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class SignalWatch:
    """Sets `cancellation` when a stop signal arrives inside the `with` block.

    Entering costs about a microsecond. Outside the main thread it does nothing, because Python
    delivers signals to the main thread alone. The handler that the program has installed runs
    after the block, as it would without the watch.
    """

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._reader = self._writer = self._previous = -1

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            return
        if self._writer < 0:
            self._start()
        self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._entered = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._entered:
            self._entered = False
            signal.set_wakeup_fd(self._previous, warn_on_full_buffer=False)

    _entered = False

    def close(self) -> None:
        """End the thread."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _start(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        threading.Thread(target=self._read, args=(self._reader,), daemon=True).start()

    def _read(self, reader: int) -> None:
        while received := os.read(reader, 1):
            if received[0] in STOP_SIGNALS:
                self._cancellation.cancel(received[0])
        os.close(reader)


@contextmanager
def deferred_interrupt(cancellation: Cancellation) -> Iterator[None]:
    """Turn Ctrl-C into the cancellation's flag, and into `KeyboardInterrupt` after the block.

    For native code that calls back into Python: an exception in a callback is swallowed. A
    program that has a SIGINT handler of its own keeps it.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return

    def handle(signum: int, _frame: FrameType | None) -> None:
        cancellation.cancel(signum)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if cancellation.reason == signal.SIGINT:
            cancellation.forget_signal()
            raise KeyboardInterrupt
