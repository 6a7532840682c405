"""Cancellation of native code that cannot be aborted."""

from __future__ import annotations

import threading

import pytest

from llmtool.background import run_cancellable
from llmtool.cancellation import Cancellation
from llmtool.errors import Cancelled


def test_abandoned_thread_is_passed_to_on_abandon() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    end = threading.Event()
    abandoned: list[threading.Thread] = []
    with pytest.raises(Cancelled):
        run_cancellable(end.wait, cancellation.check, on_abandon=abandoned.append)
    (thread,) = abandoned
    assert thread.is_alive()
    end.set()
    thread.join(30)
    assert not thread.is_alive()
