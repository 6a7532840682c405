"""LoRA adapters: equal to merged weights, grouped in batches, keyed in caches, and checked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.released import assert_all_released
from tiny_adapter import adapter_weights, merged, write_tiny_adapter

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.preflight import preflight_adapter
from llmtool.engine.types import (
    Adapter,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
)
from llmtool.errors import ModelNotFound, ModelUnreadable

KINDS = ["plain", "swa", "recurrent", "hybrid"]
PROMPT = "the quick brown fox jumps over a lazy dog"
Factory = Callable[..., LocalEngine]


@pytest.fixture
def adapters(tmp_path: Path) -> Callable[..., Path]:
    """Return `write(kind, seed)`, which writes an adapter."""

    def write(kind: str = "plain", seed: int = 1, **options: Any) -> Path:
        return write_tiny_adapter(tmp_path / f"{kind}-{seed}.gguf", kind, seed=seed, **options)

    return write


@pytest.fixture
def make_engine(tiny_model: Callable[..., Path]) -> Iterator[Factory]:
    made: list[LocalEngine] = []

    def make(
        kind: str = "plain", adapters: Sequence[Adapter] = (), added: Any = None, **options: Any
    ) -> LocalEngine:
        changes = {} if added is None else {"added": added}
        path = tiny_model(kind, float32=True, **changes)
        made.append(LocalEngine(load_model(path), n_threads=1, adapters=adapters, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def request_of(
    *adapters: Adapter | None, id: int = 0, text: str = PROMPT, n: int = 1, **sampling: Any
) -> Request:
    """Return a request with adapters; None among them means those of the engine."""
    chosen = None if None in adapters else tuple(each for each in adapters if each)
    options = {"temperature": 0, "max_tokens": 16, "logprobs": 1, **sampling}
    return Request(
        id=id, n=n, prompt=Prompt(text=text, adapters=chosen), sampling=Sampling(**options)
    )


def run(engine: LocalEngine, *requests: Request) -> dict[int, list[tuple[str, float]]]:
    """Return the tokens of each first choice with their log-probabilities."""
    found: dict[int, list[tuple[str, float]]] = {}
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token) and event.logprob and not event.choice:
            assert event.logprob.logprob is not None
            found.setdefault(event.id, []).append((event.logprob.token, event.logprob.logprob))
    return found


def texts(found: Sequence[tuple[str, float]]) -> list[str]:
    return [text for text, _ in found]


@pytest.mark.parametrize("scale", [1.0, -0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_adapter_equals_merged_weights(
    kind: str, scale: float, adapters: Callable[..., Path], make_engine: Factory
) -> None:
    adapter = Adapter(str(adapters(kind)), scale)
    found = run(make_engine(kind), request_of(adapter))[0]
    expected = run(make_engine(kind, added=merged(adapter_weights(kind), scale)), request_of(None))[
        0
    ]
    assert texts(found) == texts(expected)
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=0.01)
    assert texts(found) != texts(run(make_engine(kind), request_of(None))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_scale_0_equals_the_model_without_adapters(
    kind: str, adapters: Callable[..., Path], make_engine: Factory
) -> None:
    path = str(adapters(kind))
    base = run(make_engine(kind), request_of(None))[0]
    assert run(make_engine(kind), request_of(Adapter(path, 0)))[0] == base
    assert run(make_engine(kind), request_of(Adapter(path, 1), Adapter(path, -1)))[0] == base
    assert run(make_engine(kind, adapters=[Adapter(path, 0)]), request_of(None))[0] == base


def test_two_adapters_equal_both_merged(
    adapters: Callable[..., Path], make_engine: Factory
) -> None:
    both = Adapter(str(adapters(seed=1)), 0.5), Adapter(str(adapters(seed=2)))
    found = run(make_engine(), request_of(*both))[0]
    first, second = merged(adapter_weights(seed=1), 0.5), merged(adapter_weights(seed=2), 1)
    added = {name: first[name] + second[name] for name in first}
    expected = run(make_engine(added=added), request_of(None))[0]
    assert texts(found) == texts(expected)
    assert run(make_engine(), request_of(*both[::-1]))[0] == found


def test_adapters_of_the_engine_apply_unless_a_prompt_names_others(
    adapters: Callable[..., Path], make_engine: Factory
) -> None:
    one, two = Adapter(str(adapters(seed=1))), Adapter(str(adapters(seed=2)))
    plain, engine = make_engine(), make_engine(adapters=[one])
    assert run(engine, request_of(None))[0] == run(plain, request_of(one))[0]
    assert run(engine, request_of(two))[0] == run(plain, request_of(two))[0]
    assert run(engine, request_of())[0] == run(plain, request_of(None))[0]


@pytest.mark.parametrize("kind", ["plain", "recurrent"])
def test_requests_with_different_adapters_get_the_same_replies_as_alone(
    kind: str, adapters: Callable[..., Path], make_engine: Factory
) -> None:
    paths = [str(adapters(kind, seed)) for seed in (1, 2)]
    sets: list[tuple[Adapter, ...]] = [
        (), (Adapter(paths[0]),), (Adapter(paths[1], 0.5),), (Adapter(paths[0]), Adapter(paths[1]))
    ]  # fmt: skip
    head = PROMPT * 3
    requests = [
        request_of(*sets[i % 4], id=i, text=f"{head} {i // 4}", max_tokens=6 + i, n=1 + i % 2)
        for i in range(12)
    ]
    engine = make_engine(kind, n_parallel=8)
    together = run(engine, *requests)
    for request in requests:
        alone = run(make_engine(kind), request)[request.id]
        assert len(together[request.id]) == len(alone)
        if kind == "recurrent":  # whose results do not depend on the batch
            assert texts(together[request.id]) == texts(alone)
        first, expected = together[request.id][0], alone[0]
        assert first[1] == pytest.approx(expected[1], abs=0.05)
    assert_all_released(engine)


def test_no_adapters_wait_for_all_requests_with_others(
    adapters: Callable[..., Path], make_engine: Factory
) -> None:
    """New requests with the same adapters arrive all the time."""
    adapter, ended = Adapter(str(adapters())), []

    def source() -> Iterator[Request | None]:
        yield request_of(adapter, id=1, max_tokens=20)
        for i in range(2, 60):
            if ended and 1 in ended:
                return
            yield request_of(id=i, text=f"{PROMPT} {i}", max_tokens=20)

    for event in make_engine(n_parallel=4).stream(source()):
        if isinstance(event, Finished):
            ended.append(event.id)
    assert ended.index(1) < 10


def test_scores_use_adapters(adapters: Callable[..., Path], make_engine: Factory) -> None:
    adapter = Adapter(str(adapters()))

    def score(engine: LocalEngine, *used: Adapter) -> tuple[float, ...]:
        prompt = Prompt(text=PROMPT, adapters=used or None)
        (found,) = engine.score([ScoreRequest(prompt=prompt, candidates=(" dog", " fox"))])
        assert isinstance(found, Scores)
        return found.totals

    expected = score(make_engine(added=merged(adapter_weights(), 1)))
    engine = make_engine()
    base = score(engine)
    assert score(engine, adapter) == pytest.approx(expected, abs=1e-3)
    assert score(engine) == pytest.approx(base, abs=1e-6)
    assert base != pytest.approx(expected, abs=1e-2)


def cached_tokens(engine: LocalEngine, request: Request) -> int:
    (end,) = [event for event in engine.stream([request]) if isinstance(event, Finished)]
    return end.usage.cached_tokens


def test_prompt_cache_depends_on_file_and_scale(
    adapters: Callable[..., Path], make_engine: Factory, tmp_path: Path
) -> None:
    path = str(adapters())
    head = PROMPT * 4

    def ask(*used: Adapter) -> tuple[int, list[str]]:
        request = request_of(*used)
        prompt = Prompt(text=head + " a", probe_text=head + "?", adapters=used)
        request = msgspec.structs.replace(request, prompt=prompt)
        engine = make_engine(prefix_folder=tmp_path / "cache")
        return cached_tokens(engine, request), texts(run(engine, request)[0])

    seen = {}
    for used in ((), (Adapter(path),), (Adapter(path, 0.5),)):
        assert ask(*used)[0] == 0, "another effect, so another state"
        n_cached, seen[used] = ask(*used)
        assert n_cached > 60
    assert len({tuple(each) for each in seen.values()}) == 3
    write_tiny_adapter(Path(path), seed=9)
    assert ask(Adapter(path))[0] == 0, "the file has changed"


def test_conversation_continues_only_with_the_same_adapters(
    adapters: Callable[..., Path], make_engine: Factory
) -> None:
    adapter, engine = Adapter(str(adapters())), make_engine()

    def say(*used: Adapter) -> int:
        prompt = Prompt(messages=(Message("user", PROMPT * 2),), adapters=used)
        sampling = Sampling(max_tokens=4, temperature=0)
        return cached_tokens(engine, Request(prompt=prompt, sampling=sampling, keep=True))

    assert [say(), say(adapter)] == [0, 0]
    assert [say(adapter) > 20, say() > 20] == [True, True], "each continues its own"


def test_changed_file_is_loaded_again(adapters: Callable[..., Path], make_engine: Factory) -> None:
    engine, path = make_engine(), adapters(seed=1)
    before = run(engine, request_of(Adapter(str(path))))[0]
    write_tiny_adapter(path, seed=2)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    after = run(engine, request_of(Adapter(str(path))))[0]
    assert texts(after) != texts(before)


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"metadata": {"adapter.type": "x"}}, "not a LoRA adapter, but 'x'"),
    "kind": ({"metadata": {"general.type": "imatrix"}}, "not a LoRA adapter, but a file of imatr"),
    "model": ({"metadata": {"general.type": "model"}}, "a language model; pass it as the model"),
    "architecture": ({"kind": "swa"}, "architecture gemma3, not llama; use the adapter's base"),
    "tensor type": ({"dtype": "float64"}, "is stored as F64"),
    "tensor": ({"only": "blk.0.attn_q", "rename": "blk.9.attn_q.weight"}, "does not exist in base"),
    "shape": ({"only": "blk.0.attn_q", "rename": "output.weight"}, "incorrect shape"),
    "alora": ({"metadata": {"adapter.alora.invocation_tokens": [1, 2]}}, "aLoRA.* not supported"),
}


@pytest.mark.parametrize(("changes", "message"), INVALID.values(), ids=INVALID)
def test_file_that_does_not_fit_is_one_line(
    changes: dict[str, Any], message: str, adapters: Callable[..., Path], make_engine: Factory
) -> None:
    path, engine = adapters(**changes), make_engine()
    with pytest.raises(ModelUnreadable, match=message) as caught:
        run(engine, request_of(Adapter(str(path))))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(run(engine, request_of(None))[0]) == 16, "other requests continue"
    with pytest.raises(ModelUnreadable, match=message):
        make_engine(adapters=[Adapter(str(path))])


def test_missing_file_is_an_error(make_engine: Factory, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="none.gguf: no such LoRA adapter"):
        run(make_engine(), request_of(Adapter(str(tmp_path / "none.gguf"))))


def test_model_as_adapter_is_an_error(tiny: Path, make_engine: Factory) -> None:
    with pytest.raises(ModelUnreadable, match="a language model; pass it as the model"):
        run(make_engine(), request_of(Adapter(str(tiny))))


def test_adapter_is_checked_in_a_child_process_once(
    adapters: Callable[..., Path],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from llmtool.engine.llama import preflight

    def check(path: Path) -> None:
        cache = tmp_path / "cache"
        preflight_adapter(path, tiny, (tiny,), cache_folder=cache, cancellation=Cancellation())

    good = adapters()
    check(good)
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "_load_in_child", None)
        check(good)
    wrong = adapters(seed=2, only="blk.0.attn_q", rename="output.weight")
    with pytest.raises(ModelUnreadable, match="incorrect shape"):
        check(wrong)
    with pytest.raises(ModelUnreadable, match="is damaged: llama.cpp crashed on it"):
        check(adapters(seed=3, dtype="float64"))
    infinite = tmp_path / "infinite.gguf"
    data = bytearray(good.read_bytes())
    data[-4096:] = b"\xff" * 4096  # nan
    infinite.write_bytes(data)
    with pytest.raises(ModelUnreadable, match="infinite.gguf is damaged: its logits"):
        check(infinite)
