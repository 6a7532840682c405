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
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar
from weakref import WeakSet

from llmtool.engine.types import Cancellation

T = TypeVar("T")
_POLL_SECONDS = 0.05
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# The kernel's answer to a look at a part of a mapped file that is not there any more.
_FAULT_SIGNAL = getattr(signal, "SIGBUS", None)
_on_fault: Callable[[], object] | None = None  # of the process: SIGBUS does not say whose watch


def end_faults_with(end: Callable[[], object]) -> None:
    """Call `end`, which has to end the process, when a model's file is cut off while in use.

    There is one for the whole process, the last that was given; without any the process ends by
    SIGBUS. Native code that the main thread runs is what it works for: the fault comes again and
    again there, until another thread has called `end`.
    """
    global _on_fault
    _on_fault = end


class SignalWatch:
    """Guards a `with` block of native code: a stop signal sets `cancellation` at once.

    Ctrl-C becomes `KeyboardInterrupt` after the block in a program with Python's own handler,
    whose exception would be swallowed inside a callback; a handler that the program installed
    runs as ever. Outside the main thread nothing happens: Python gives signals to the main thread
    alone. Entering and leaving cost about four microseconds.
    """

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._writer = self._previous = -1
        self._entered = self._replaced = self._faults = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._entered = True
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._replaced = True
            self._cancellation.forget_signal()
            signal.signal(signal.SIGINT, self._handle)
        if sys.platform != "win32":  # there the wakeup descriptor has to be a socket
            if self._writer < 0 and not self._start():
                return
            self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            if _on_fault is not None and _FAULT_SIGNAL is not None:
                self._faults = signal.getsignal(_FAULT_SIGNAL) == signal.SIG_DFL
                if self._faults:
                    signal.signal(_FAULT_SIGNAL, _wait_for_the_end)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._entered:
            return
        self._entered = False
        if self._faults and _FAULT_SIGNAL is not None:
            self._faults = False
            signal.signal(_FAULT_SIGNAL, signal.SIG_DFL)
        if self._writer >= 0:
            signal.set_wakeup_fd(self._previous, warn_on_full_buffer=False)
        if self._replaced:
            self._replaced = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._cancellation.reason == signal.SIGINT:
                self._cancellation.forget_signal()
                raise KeyboardInterrupt

    def close(self) -> None:
        """End the thread."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._cancellation.cancel(number)

    def _start(self) -> bool:
        """Start the thread; without the memory for one, signals wait for the native code's end."""
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
            if received[0] == _FAULT_SIGNAL and _on_fault is not None:
                _on_fault()
            if received[0] in STOP_SIGNALS and self._entered:
                self._cancellation.cancel(received[0])
        os.close(reader)


def _wait_for_the_end(_number: int, _frame: FrameType | None) -> None:
    """Stand where a handler has to: the thread of a watch, which is told as well, does the rest."""


_left_behind: WeakSet[threading.Thread] = WeakSet()  # Python holds those that run


def is_work_left_behind() -> bool:
    """Whether work that was cancelled is still running, unseen, with all that it uses."""
    return any(thread.is_alive() for thread in _left_behind)


def run_cancellable(work: Callable[[], T], cancellation: Cancellation) -> T:
    """Run native work that cannot be aborted in a thread, and leave it behind on a stop.

    Raises:
        Cancelled: `cancellation` was set; the work goes on to its end, unseen.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        if thread.is_alive() and cancellation.cancelled:
            _left_behind.add(thread)
            cancellation.check()
    if failed:
        raise failed[0]
    return done[0]
