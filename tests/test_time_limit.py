"""`Toolbox.time_limit` stops the work of a block, and the toolbox stays usable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command import INFINITE

from llmtool.config import Folders, Settings
from llmtool.errors import Cancelled, TimeoutExpired, UsageError
from llmtool.toolbox import Toolbox


@pytest.fixture
def box(tiny_model: Callable[..., Path], tmp_path: Path) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    model = tiny_model("plain", **INFINITE)
    return Toolbox(model, folders=folders, settings=Settings(), environ={}, n_threads=1)


def test_expired_limit_stops_a_call_and_the_next_call_works(box: Toolbox) -> None:
    with box:
        with pytest.raises(TimeoutExpired, match="not finished after 0.2 s") as expired:
            with box.time_limit(0.2):
                box.generate("Go on", max_tokens=60000)
        assert isinstance(expired.value, TimeoutError) and expired.value.seconds == 0.2
        with box.time_limit(60):
            assert box.generate("Go on", max_tokens=2).usage.completion_tokens == 2


def test_other_cancellation_stays_cancelled(box: Toolbox) -> None:
    with pytest.raises(Cancelled) as stopped, box.time_limit(60):
        box.cancellation.cancel()
        box.cancellation.check()
    assert not isinstance(stopped.value, TimeoutExpired)
    assert box.cancellation.cancelled


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_limit_must_be_above_0(box: Toolbox, seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds=.*: must be"), box.time_limit(seconds):
        pass
