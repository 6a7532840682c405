"""The size of contexts, and smaller contexts if memory is short."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE

from llmtool.engine.llama import context_planner
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.types import Event, Failed, Finished, Prompt, Request, Sampling
from llmtool.errors import EngineError
from llmtool.models.gguf.memory import kv_bytes, state_bytes
from llmtool.models.gguf.reader import read_header

# 16 requests of 60,000 tokens (60 MB) each, in a process that may allocate `sys.argv[2]` more MB.
# Threads and arenas vary by 16 MB, so the limits have at least that margin.
PROGRAM = """
import resource, sys
from pathlib import Path
from typing import Any
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.types import Failed, Finished, Prompt, Request, Sampling
engine = LocalEngine(load_model(Path(sys.argv[1])), n_threads=1, n_parallel=16)
sampling = Sampling(max_tokens=60_000, temperature=0, stop=("e",))
requests = [Request(id=i, prompt=Prompt(text="hello"), sampling=sampling) for i in range(16)]
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = used + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
events = list(engine.stream(requests))
sequences = engine.contexts.sequences
print(sum(isinstance(each, Finished) for each in events),
      sum(isinstance(each, Failed) for each in events),
      sequences.context.n_ctx // 60_000 if sequences else 0)
for each in events:
    if isinstance(each, Failed):
        print(each.error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("megabytes", "finished", "parallel"), [(2000, 16, 16), (200, 16, 8), (40, 0, 1)]
)
def test_fewer_requests_run_together_if_memory_is_short(
    megabytes: int, finished: int, parallel: int, tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", n_ctx=65536)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(megabytes)], capture_output=True, text=True
    )
    counts, *errors = done.stdout.splitlines()
    ended, failed, width = map(int, counts.split())
    assert (ended, failed) == (finished, 16 - finished)
    assert (width >= parallel) == (parallel > 8)
    assert (width > 0) == (finished > 0)
    assert all("tokens: insufficient memory (attempted" in error for error in errors)


def serve(engine: LocalEngine, n: int, **sampling: int) -> None:
    requests = [
        Request(id=i, prompt=Prompt(text="hello"), sampling=Sampling(temperature=0, **sampling))
        for i in range(n)
    ]
    events = list(engine.stream(requests))
    assert sum(isinstance(event, Finished) for event in events) == n
    assert not any(isinstance(event, Failed) for event in events)


def test_concurrent_short_requests_use_the_short_rope_factors(
    tiny_model: Callable[..., Path],
) -> None:
    metadata = {"llama.rope.scaling.original_context_length": 512}
    engine = LocalEngine(load_model(tiny_model("plain", metadata=metadata)), n_threads=1)
    for n, max_tokens, is_long in ((16, 100, False), (1, 700, True), (1, 100, False)):
        serve(engine, n, max_tokens=max_tokens)
        assert engine.contexts.sequences is not None
        assert engine.contexts.sequences.context.uses_long_rope == is_long
    engine.close()


def test_context_is_reused_if_it_is_large_enough(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    serve(engine, 8, max_tokens=100)
    first = engine.contexts.sequences
    serve(engine, 3, max_tokens=50)
    assert engine.contexts.sequences is first
    serve(engine, 8, max_tokens=300)
    assert engine.contexts.sequences is not first
    engine.close()


@pytest.mark.parametrize("expects_more", [True, False])
def test_a_large_request_starts_beside_a_small_one(
    tiny_model: Callable[..., Path], expects_more: bool
) -> None:
    model = load_model(tiny_model("plain", **INFINITE))
    engine = LocalEngine(model, n_threads=1, expects_more=expects_more)
    seen: list[Event] = []

    def requests() -> Iterator[Request | None]:
        yield Request(id=0, prompt=Prompt(text="hello"), sampling=Sampling(max_tokens=400))
        while not seen:
            yield None
        large = Prompt(text="w" * 8000)
        yield Request(id=1, prompt=large, sampling=Sampling(max_tokens=2))

    for event in engine.stream(requests()):
        seen.append(event)
    ended = [event.id for event in seen if isinstance(event, Finished)]
    assert ended == ([1, 0] if expects_more else [0, 1])
    engine.close()


def test_the_reserve_of_a_server_is_limited(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(tiny)
    size = model.size_bytes // 4
    monkeypatch.setattr(context_planner, "_RESERVE_BYTES", size)
    engine = LocalEngine(model, n_threads=1, expects_more=True)
    serve(engine, 1, max_tokens=5)
    assert engine.contexts.sequences is not None
    n_ctx = engine.contexts.sequences.context.n_ctx
    assert size / 2 < kv_bytes(read_header(model.path), n_ctx, "f16", "f16") <= size
    engine.close()


BEGINNING = "q" * 1500  # tokens, many more than the sliding window


def make_request(
    id: int, text: str, *, n: int = 1, max_tokens: int = 300, probe_text: str = ""
) -> Request:
    prompt = Prompt(text=text, probe_text=probe_text)
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    return Request(id=id, prompt=prompt, sampling=sampling, n=n)


# Streams that one engine serves one after another.
SHARING: dict[str, list[list[Request | None]]] = {
    "a template": [[make_request(1, BEGINNING + "z", probe_text=BEGINNING + "k")]],
    "choices": [[make_request(1, BEGINNING + "z", n=3)]],
    "requests": [[make_request(i, BEGINNING + end) for i, end in enumerate("zkw")]],
    "late requests": [
        [
            make_request(1, "hello", max_tokens=600),
            *[None] * 3,
            *(make_request(i, BEGINNING + end) for i, end in enumerate("kw")),
        ]
    ],
    "requests after a single one": [
        [make_request(1, "w" * 1700)],
        [make_request(i, BEGINNING + end) for i, end in enumerate("kw")],
    ],
    "a template after a single request": [
        [make_request(1, "w" * 1700)],
        [make_request(1, BEGINNING + "z", probe_text=BEGINNING + "k")],
    ],
}


@pytest.mark.parametrize("streams", SHARING.values(), ids=SHARING)
def test_sliding_window_layers_store_all_shared_tokens(
    streams: list[list[Request | None]], tiny_model: Callable[..., Path]
) -> None:
    engine = LocalEngine(load_model(tiny_model("swa")), n_threads=1, n_parallel=4)
    events = [event for stream in streams for event in engine.stream(stream)]
    n_choices = sum(each.n for stream in streams for each in stream if each)
    assert sum(isinstance(event, Finished) for event in events) == n_choices
    engine.close()


def test_sliding_window_layers_store_only_the_window_if_nothing_is_shared(
    tiny_model: Callable[..., Path],
) -> None:
    engine = LocalEngine(load_model(tiny_model("swa")), n_threads=1)
    assert list(engine.stream([make_request(1, BEGINNING)]))
    assert engine.contexts.sequences and not engine.contexts.sequences.context.swa_full
    engine.close()


def test_failed_context_size_is_not_tried_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=8)
    make, tried = engine.contexts._create_context, []

    def fail_if_large(size: context_planner.ContextSize, *others: Any) -> Sequences:
        tried.append(size.n_cells)
        if size.n_cells > 600:
            raise EngineError("no memory")
        return make(size, *others)

    monkeypatch.setattr(engine.contexts, "_create_context", fail_if_large)
    serve(engine, 8, max_tokens=200)
    assert tried[0] > 600 and sum(n > 600 for n in tried) < len(tried)
    before = len(tried)
    engine.contexts.close()
    serve(engine, 8, max_tokens=200)
    assert all(n <= 600 for n in tried[before:])
    engine.close()


def test_recurrent_states_stay_within_their_memory_limit(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_model(tiny_model("recurrent")), n_threads=1, n_parallel=8)
    one = state_bytes(read_header(tiny_model("recurrent")))
    monkeypatch.setattr(context_planner, "_STATE_BYTES", 3 * one)
    serve(engine, 8, max_tokens=8)
    assert engine.contexts.sequences is not None
    assert engine.contexts.sequences.context.n_seq == 3
    engine.close()
