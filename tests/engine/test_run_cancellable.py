"""Native work that a cancellation abandons: known while it runs, released when it has ended."""

from __future__ import annotations

import gc
import threading
import time
from weakref import ref

import pytest

from llmtool.engine.llama.interrupts import is_work_left_behind, run_cancellable
from llmtool.engine.types import Cancellation
from llmtool.errors import Cancelled


def test_abandoned_work_is_known_until_it_ends() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    before = set(threading.enumerate())
    end = threading.Event()
    for _ in range(3):
        with pytest.raises(Cancelled):
            run_cancellable(end.wait, cancellation)
    abandoned = [ref(thread) for thread in threading.enumerate() if thread not in before]
    assert is_work_left_behind() and len(abandoned) == 3
    end.set()
    limit = time.monotonic() + 30
    while is_work_left_behind() and time.monotonic() < limit:
        time.sleep(0.01)
    assert not is_work_left_behind()
    gc.collect()
    assert [thread() for thread in abandoned] == [None] * 3
