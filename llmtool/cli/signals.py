"""Signals of the command: handlers only set a flag; a second Ctrl-C ends the process at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from llmtool.engine.interrupts import STOP_SIGNALS
from llmtool.engine.types import Cancellation
from llmtool.errors import Cancelled

_cancellation: Cancellation | None = None
_waiting = False
_received: set[int] = set()


def install() -> Cancellation:
    """Let SIGINT, SIGTERM and SIGHUP set the flag of the cancellation that is returned."""
    global _cancellation
    _cancellation = Cancellation()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, _handle)
    return _cancellation


def _handle(number: int, _frame: FrameType | None) -> None:
    assert _cancellation is not None
    if number in _received:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _received.add(number)
    _cancellation.cancel(number)
    if _waiting:
        raise stopped(number)


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
