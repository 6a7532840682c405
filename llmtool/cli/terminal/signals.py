"""Signals of the command: handlers only set a flag; a second Ctrl-C ends the process at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from llmtool.engine.llama.interrupts import STOP_SIGNALS, end_faults_with
from llmtool.engine.types import Cancellation
from llmtool.errors import Cancelled, ExitCode

_cancellation: Cancellation | None = None
_waiting = False
_enduring = False
_received: set[int] = set()
_model = ""


def install(cancellation: Cancellation | None = None) -> Cancellation:
    """Let SIGINT, SIGTERM and SIGHUP set the flag of the cancellation that is returned."""
    global _cancellation
    _cancellation = cancellation or Cancellation()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, _handle)
    end_faults_with(_end_by_fault)
    return _cancellation


def name_model(name: str) -> None:
    """Say which model is in use from now on, for the error that its file is gone."""
    global _model
    _model = name


def _end_by_fault() -> None:
    """End the process, whose main thread cannot go on: a page of the model's file is gone.

    A `kill -BUS` from outside looks the same, and is told as that.
    """
    from llmtool.cli.terminal import console, output_file

    try:
        output_file.discard_all()
        console.leave_line()
        console.error(
            f"the file of the model {_model} was cut off while it was in use, or its disk failed: "
            "fetch it again"
        )
    finally:  # or the main thread would meet the fault for ever
        os._exit(ExitCode.MODEL_UNREADABLE)


def _handle(number: int, _frame: FrameType | None) -> None:
    assert _cancellation is not None
    if number in _received and not (_enduring and number == signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _received.add(number)
    _cancellation.cancel(number)
    if _waiting:
        raise stopped(number)


def endure() -> None:
    """Let Ctrl-C stop what runs as often as it comes, and never the process."""
    global _enduring
    _enduring = True


def reinstall() -> None:
    """Take the stop signals back from who had them meanwhile, where they were taken before."""
    for number in STOP_SIGNALS if _cancellation is not None else ():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def forget_interrupt() -> None:
    """Take Ctrl-C back, when what it was for has stopped.

    Raises:
        Cancelled: another stop signal has come, which ends the process.
    """
    if _cancellation is None:
        return
    others = _received - {int(signal.SIGINT)}
    if others:
        raise stopped(max(others))
    _received.clear()
    _cancellation.reset()


def received() -> int | None:
    """Return the stop signal that came, if one did."""
    return _cancellation.reason if _cancellation is not None else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end a system call that waits for somebody else: a slow pipe, a terminal."""
    global _waiting
    _waiting = True
    try:
        if _cancellation is not None and _cancellation.cancelled:
            raise stopped(_cancellation.reason)
        yield
    finally:
        _waiting = False


def stopped(number: int | None) -> Cancelled:
    return Cancelled("stopped by a signal", reason=number)
