"""Signals while native code runs, if the thread that reads them cannot start."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.interrupts import SignalWatch


def test_signal_is_handled_after_the_block_if_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    n_open = len(os.listdir("/dev/fd"))
    watch = SignalWatch(Cancellation())
    with watch:
        pass
    with pytest.raises(KeyboardInterrupt), watch:
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(os.listdir("/dev/fd")) == n_open
