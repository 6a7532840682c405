"""The prompt cache finds a state only for the same prefix and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.released import assert_consistent
from engine.single_request import run

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.llama.prompt_cache.states import PrefixStates
from llmtool.engine.llama.prompt_cache.store import PrefixCache
from llmtool.engine.types import Finished, Prompt, Request, Sampling
from llmtool.errors import Cancelled

QS = tuple(b"q" * 80)  # ids of a byte-level vocabulary
LIMIT_BYTES = 1 << 30


@pytest.fixture(scope="module")
def weights(tiny_model: Callable[..., Path]) -> Iterator[LlamaModel]:
    made = LlamaModel(tiny_model("swa"), n_gpu_layers=0, cancellation=Cancellation())
    yield made
    made.close()


@pytest.fixture
def make_context(weights: LlamaModel) -> Iterator[Callable[..., Context]]:
    made: list[Context] = []

    def make(**options: Any) -> Context:
        settings = {"n_ctx": 256, "n_threads": 1, "cancellation": Cancellation(), **options}
        made.append(Context(weights, **settings))
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def find(
    weights: LlamaModel, make_context: Callable[..., Context], tmp_path: Path
) -> Callable[..., bytearray | None]:
    """Return `find(**changes)`, which loads the state of 80 tokens with changed parameters."""

    def make_states(params: dict[str, str | int], parts: tuple[Path, ...]) -> PrefixStates:
        folder = tmp_path / "prefix"
        return PrefixStates(folder, weights, limit_bytes=LIMIT_BYTES, parts=parts, params=params)

    def find(
        *,
        ids: tuple[int, ...] = QS,
        swa_full: bool = True,
        params: dict[str, str | int] | None = None,
        parts: tuple[Path, ...] | None = None,
    ) -> bytearray | None:
        states = make_states(stored if params is None else params, parts or (weights.path,))
        return states.load(ids, make_context(swa_full=swa_full))

    stored: dict[str, str | int] = {"threads": 1, "gpu": 0, "kv": "f16"}
    context = make_context()
    context.prefill(QS)
    make_states(stored, (weights.path,)).store(QS, context)
    return find


def test_stored_state_is_found(find: Callable[..., bytearray | None]) -> None:
    assert find() and find(params={"kv": "f16", "gpu": 0, "threads": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": QS[:-1]},
        {"ids": (*QS, 113)},
        {"ids": (*QS[:-1], 114)},
        {"swa_full": False},
        {"params": {"threads": 2, "gpu": 0, "kv": "f16"}},
        {"params": {"threads": 1, "gpu": 1, "kv": "f16"}},
        {"params": {"threads": 1, "gpu": 0, "kv": "q8_0"}},
        {"parts": (Path(__file__),)},
    ],
    ids=["shorter", "longer", "other ids", "window", "threads", "gpu", "kv", "model"],
)
def test_state_is_not_found_if_anything_differs(
    changes: dict[str, Any], find: Callable[..., bytearray | None]
) -> None:
    assert find(**changes) is None


def test_state_of_another_llama_cpp_version_is_not_found(
    find: Callable[..., bytearray | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtool.engine.llama.prompt_cache.states.library_version", lambda: "b1")
    assert find() is None


def make_request(beginning: str, end: str = "z", **sampling: Any) -> Request:
    options = {"max_tokens": 8, "temperature": 0, **sampling}
    prompt = Prompt(text=beginning + end, probe_text=beginning + "k")
    return Request(prompt=prompt, sampling=Sampling(**options))


@pytest.fixture
def start(tiny: Path, tmp_path: Path) -> Iterator[Callable[..., LocalEngine]]:
    """Return `start()`, which makes new engines with the same cache folder."""
    made: list[LocalEngine] = []

    def make(*, n_gpu_layers: int = 0, **options: Any) -> LocalEngine:
        settings = {"n_threads": 1, "prefix_folder": tmp_path / "prefix", **options}
        made.append(LocalEngine(load_model(tiny, n_gpu_layers=n_gpu_layers), **settings))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def test_states_with_gpu_layers_are_separate(start: Callable[..., LocalEngine]) -> None:
    def cached(n_gpu_layers: int) -> int:
        return run(start(n_gpu_layers=n_gpu_layers), make_request("q" * 80))[1]

    assert [cached(0), cached(1), cached(0)] == [0, 0, 80]


@pytest.mark.parametrize("n_other", [70, 90])
def test_state_of_the_wrong_length_is_not_used(
    n_other: int, start: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    cache = PrefixCache(tmp_path / "prefix", limit_bytes=LIMIT_BYTES)
    good, none = run(start(), make_request("q" * 80))
    ((key,), (_, hit)) = (
        [entry.key for entry in cache.entries()],
        run(start(), make_request("q" * 80)),
    )
    assert (none, hit) == (0, 80), "the whole template, and no more"
    run(start(), make_request("q" * n_other))
    (other,) = (entry.key for entry in cache.entries() if entry.key != key)
    cache.store(key, cache.load(other) or b"", note={})
    assert run(start(), make_request("q" * 80)) == (good, 0)


def test_only_the_template_part_of_a_shared_prefix_is_stored(
    start: Callable[..., LocalEngine],
) -> None:
    prompts = [
        Prompt(text="q" * 80 + "w" * 40 + end, probe_text="q" * 80 + "k") for end in ("z", "k")
    ]
    requests = [Request(id=i, prompt=prompt) for i, prompt in enumerate(prompts)]
    for n_cached in (0, 80):
        events = start().stream(requests)
        cached = {e.id: e.usage.cached_tokens for e in events if isinstance(e, Finished)}
        assert cached == {0: n_cached, 1: 120}


def test_empty_input_gets_a_reply(
    start: Callable[..., LocalEngine],
) -> None:
    uncached, _ = run(start(prefix_folder=None), make_request("q" * 80, end=""))
    assert run(start(), make_request("q" * 80, end=""))[0] == uncached
    assert run(start(), make_request("q" * 80, end="")) == (uncached, 79)


def test_template_stays_cached_after_an_interrupted_decode(
    start: Callable[..., LocalEngine],
) -> None:
    cancellation = Cancellation()
    engine = start(prefix_folder=None, cancellation=cancellation)
    good = run(engine, make_request("q" * 80))[0]
    assert run(engine, make_request("q" * 80)) == (good, 80)
    with pytest.raises(Cancelled):
        for _ in engine.stream([make_request("q" * 80, max_tokens=50)]):
            cancellation.cancel()
    cancellation.reset()
    sequences = engine.contexts.sequences
    assert sequences is not None and 80 in [each.length for each in sequences.idle]
    assert_consistent(sequences)
    assert run(engine, make_request("q" * 80)) == (good, 80)
