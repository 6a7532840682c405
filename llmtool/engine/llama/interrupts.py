"""Handle signals while native code runs.

Python runs signal handlers between bytecodes, so never during a long `llama_decode`. But the
C-level handler immediately writes to the interpreter's wakeup file descriptor. A thread reads it
and sets the cancellation flag, which llama.cpp checks between two nodes of its graph.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from llmtool.cancellation import Cancellation
from llmtool.forks import call_after_fork

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# Without the conversion to enums, which takes 20 microseconds for each token.
_get_handler = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
_set_handler = getattr(signal.signal, "__wrapped__", signal.signal)
# Sent on access to a mapped file beyond its end, after the file was truncated.
_FAULT_SIGNAL = getattr(signal, "SIGBUS", None)


class SignalWatch:
    """Context manager for native code, in which a stop signal sets `cancellation` immediately.

    With Python's default handler, Ctrl-C raises `KeyboardInterrupt` after the block, because an
    exception in a callback would be lost. Other handlers run as usual. Outside the main thread the
    block has no effect, because Python delivers signals only to the main thread. The overhead is
    about 4 microseconds.

    Args:
        on_fault: called from another thread if a mapped model file was truncated. It must end the
            process, because the main thread would fault forever. Without it, SIGBUS ends the
            process.
    """

    def __init__(
        self, cancellation: Cancellation, *, on_fault: Callable[[], object] | None = None
    ) -> None:
        self._cancellation, self._on_fault = cancellation, on_fault
        self._writer = self._previous = -1
        self._entered = self._replaced = self._faults = False
        call_after_fork(self)

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._entered = True
        if _get_handler(signal.SIGINT) is signal.default_int_handler:
            self._replaced = True
            self._cancellation.clear_signal()
            _set_handler(signal.SIGINT, self._handle)
        if sys.platform != "win32":  # there the wakeup descriptor has to be a socket
            if self._writer < 0 and not self._start():
                return
            self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            if self._on_fault is not None and _FAULT_SIGNAL is not None:
                self._faults = _get_handler(_FAULT_SIGNAL) == signal.SIG_DFL
                if self._faults:
                    _set_handler(_FAULT_SIGNAL, _ignore)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._entered:
            return
        was_replaced = self._replaced
        self._restore()
        if was_replaced and self._cancellation.reason == signal.SIGINT:
            self._cancellation.clear_signal()
            raise KeyboardInterrupt

    def _restore(self) -> None:
        self._entered = False
        if self._faults and _FAULT_SIGNAL is not None:
            self._faults = False
            _set_handler(_FAULT_SIGNAL, signal.SIG_DFL)
        if self._writer >= 0:
            signal.set_wakeup_fd(self._previous, warn_on_full_buffer=False)
        if self._replaced:
            self._replaced = False
            _set_handler(signal.SIGINT, signal.default_int_handler)

    def after_fork(self) -> None:
        """Restore the handlers in a child; its signals must not reach the parent's thread."""
        if self._entered:
            self._restore()
        self.close()

    def close(self) -> None:
        """End the thread."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._cancellation.cancel(number)

    def _start(self) -> bool:
        """Start the thread; if that fails, signals are handled after the native code."""
        reader, writer = os.pipe()
        try:
            threading.Thread(target=self._read, args=(reader,), daemon=True).start()
        except RuntimeError:
            os.close(reader)
            os.close(writer)
            return False
        os.set_blocking(writer, False)
        self._writer = writer
        return True

    def _read(self, reader: int) -> None:
        while received := os.read(reader, 1):
            if received[0] == _FAULT_SIGNAL and self._on_fault is not None:
                self._on_fault()
            if received[0] in STOP_SIGNALS and self._entered:
                self._cancellation.cancel(received[0])
        os.close(reader)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; with a handler set, the watch's thread sees the signal and calls `on_fault`."""
