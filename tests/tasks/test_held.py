"""Memory of streams and conversations does not grow with their length (longer: test_soak)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.llama import sequences
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.options import ChatOptions, SamplingOptions
from llmtool.toolbox import Toolbox

ROUND = 128  # records
N_ROUNDS = 5


@pytest.fixture
def open_box(tiny_model: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Toolbox]]:
    folders = Folders(
        **{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")}
    )
    opened: list[Toolbox] = []

    def open_(kind: str = "plain", **options: int) -> Toolbox:
        model = tiny_model(kind, printable=True)
        box = Toolbox(
            model, n_threads=1, folders=folders, settings=Settings(), environ={}, **options
        )
        opened.append(box)
        return box

    yield open_
    for box in opened:
        box.close()


def texts() -> Iterator[str]:
    return (f"parcel {n:05} arrived" for n in count())


def blocks() -> int:
    """Return the number of memory blocks that Python has allocated."""
    gc.collect()
    return sys.getallocatedblocks()


@pytest.fixture
def begin(request: pytest.FixtureRequest) -> Callable[[Toolbox], Iterator[object]]:
    return {
        "generate": lambda box: box.generate(texts(), max_tokens=2, temperature=0, seed=1),
        "classify": lambda box: box.classify(texts(), ["late", "early", "lost"]),
    }[request.param]


@pytest.mark.parametrize("begin", ["generate", "classify"], indirect=True)
def test_stream_frees_completed_records_without_the_collector(
    open_box: Callable[..., Toolbox], begin: Callable[[Toolbox], Iterator[object]]
) -> None:
    results = begin(open_box())
    allocated = []
    for _ in range(3):
        assert sum(1 for _ in islice(results, ROUND)) == ROUND
        allocated.append(blocks())
    gc.disable()
    try:
        for _ in range(N_ROUNDS):
            assert sum(1 for _ in islice(results, ROUND)) == ROUND
            assert gc.collect() < ROUND  # unreachable objects that only the collector frees
            allocated.append(blocks())
    finally:
        gc.enable()
    # Less than one block per two records. How many records are in progress at the end differs.
    assert allocated[-1] - allocated[1] < (1 + N_ROUNDS) * ROUND / 2


@pytest.mark.parametrize(("kind", "overflow"), [("plain", "summarize"), ("hybrid", "drop")])
def test_conversation_holds_one_object_per_turn(
    open_box: Callable[..., Toolbox], monkeypatch: pytest.MonkeyPatch, kind: str, overflow: str
) -> None:
    monkeypatch.setattr(sequences, "_MAX_STATES", 8)
    box = open_box(kind, n_ctx=768)
    box.summarize("A parcel came with letters. " * 60, length="long")  # imports its modules
    n_objects, turns = [], 16
    options = ChatOptions(sampling=SamplingOptions(max_tokens=4))
    with Chat(box.context, options, overflow=overflow) as chat:  # type: ignore[arg-type]
        for _ in range(3):
            for n in range(turns):
                chat.say(f"Parcel {n:03} came with a letter and a small box.")
            gc.collect()
            n_objects.append(len(gc.get_objects()))
        assert chat.session.n_omitted > turns
    growth = [after - before for before, after in zip(n_objects, n_objects[1:], strict=False)]
    assert min(growth) < turns  # other threads of the process may add some once
