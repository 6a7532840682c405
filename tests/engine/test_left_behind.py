"""Native work that a stop leaves behind: known while it runs, forgotten when it has ended."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from llmtool.engine.llama.interrupts import is_work_left_behind, run_cancellable
from llmtool.engine.types import Cancellation
from llmtool.errors import Cancelled


def n_threads_known() -> int:
    gc.collect()
    return sum(isinstance(each, threading.Thread) for each in gc.get_objects())


def test_work_left_behind_is_forgotten_when_it_has_ended() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    before = n_threads_known()
    end = threading.Event()
    for _ in range(3):
        with pytest.raises(Cancelled):
            run_cancellable(end.wait, cancellation)
    assert is_work_left_behind()
    end.set()
    limit = time.monotonic() + 30
    while is_work_left_behind() and time.monotonic() < limit:
        time.sleep(0.01)
    assert not is_work_left_behind()
    assert n_threads_known() == before
