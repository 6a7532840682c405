"""Install signal handlers and end the process."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

from llmtool.cancellation import Cancellation
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.engine.llama.interrupts import STOP_SIGNALS
from llmtool.errors import ExitCode


def install(interrupts: Interrupts, cancellation: Cancellation | None = None) -> Cancellation:
    """Make SIGINT, SIGTERM and SIGHUP set a cancellation, by default a new one; return it.

    A second signal of the same kind ends the process immediately.
    """
    cancellation = cancellation or Cancellation()
    interrupts.attach(cancellation)
    _set_handlers(interrupts)
    return cancellation


def reinstall(interrupts: Interrupts) -> None:
    """Restore the handlers after other code replaced them, if any were installed."""
    if interrupts.is_attached:
        _set_handlers(interrupts)


def _set_handlers(interrupts: Interrupts) -> None:
    def handle(number: int, _frame: FrameType | None) -> None:
        if interrupts.is_final(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        interrupts.receive(number)

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # set by nohup
            signal.signal(number, handle)


def end_by_fault(console: Console, model: str) -> NoReturn:
    """End the process with an error after a page of the model's file could not be read.

    A `kill -BUS` from another process cannot be distinguished and is reported the same way.
    """
    try:
        console.run_cleanups()
        console.stdout.break_line()
        console.error(
            f"the file of model {model} was truncated while in use, or its disk failed; "
            "download it again"
        )
    finally:  # the main thread would fault again
        os._exit(ExitCode.MODEL_UNREADABLE)


def end_by_signal(console: Console, number: int | None) -> NoReturn:
    """End the process as the signal would, so that shell loops stop too."""
    console.stdout.break_line()
    console.flush_quietly()
    if number is None or not hasattr(signal, "raise_signal"):
        os._exit(1)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
