"""Log-probabilities of prompts equal those of full logits, alone and beside other requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import (
    Event,
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Token,
    TokenLogprob,
)
from llmtool.errors import Cancelled, ContextOverflow, InputError, UsageError

LONG = "the quick brown fox jumps over a lazy dog and hello there how are you " * 10


@pytest.fixture(scope="module", params=["plain", "spm", "swa", "recurrent", "hybrid"])
def engine(
    request: pytest.FixtureRequest, tiny_model: Callable[..., Path]
) -> Iterator[LocalEngine]:
    made = LocalEngine(load_model(tiny_model(request.param)), n_threads=1, n_parallel=8)
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(load_model(tiny), n_threads=1)
    yield made
    made.close()


def echo_of(text: str, id: int = 0, n: int = 1, **sampling: Any) -> Request:
    options = {"max_tokens": 0, "logprobs": 2, **sampling}
    return Request(prompt=Prompt(text=text), sampling=Sampling(**options), echo=True, id=id, n=n)


def run(engine: LocalEngine, *requests: Request) -> dict[int, list[TokenLogprob]]:
    """Return the tokens of the prompts by request."""
    found: dict[int, list[TokenLogprob]] = {}
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token) and event.prompt_logprob:
            found.setdefault(event.id, []).append(event.prompt_logprob)
    return found


def expected_logprobs(engine: LocalEngine, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the log-probability of each token but the first, and the two best, from all logits.

    All logits are computed in batches of 64 tokens, with as many rows.
    """
    weights = engine.model.weights
    context = Context(weights, n_ctx=1024, n_threads=1, n_outputs=64, cancellation=Cancellation())
    rows: list[list[float]] = []
    for at in range(0, len(ids), 64):
        context.batch.clear()
        chunk = ids[at : at + 64]
        for row in context.batch.add(chunk, seq=0, pos=at, n_outputs=len(chunk)):
            rows.append([row])
        context.decode()
        for row in range(len(chunk)):
            logits = weights._lib.llama_get_logits_ith(context._ctx, row)[: weights.n_vocab]
            most = max(logits)
            total = most + math.log(math.fsum(math.exp(each - most) for each in logits))
            rows[at + row] = [each - total for each in logits]
    context.close()
    return [
        {"logprob": row[token], "best": sorted(row, reverse=True)[:2]}
        for row, token in zip(rows, ids[1:], strict=False)
    ]


def check(engine: LocalEngine, text: str, found: Sequence[TokenLogprob], *, abs: float) -> None:
    ids = engine.tokenize(Prompt(text=text)).token_ids
    pieces = [engine.model.weights.render_piece(t, special=True) for t in ids]
    assert [bytes(each.bytes) for each in found] == pieces
    assert found[0].logprob is None and found[0].top == ()
    for each, expected in zip(found[1:], expected_logprobs(engine, ids), strict=True):
        assert each.logprob == pytest.approx(expected["logprob"], abs=abs)
        assert [other.logprob for other in each.top] == pytest.approx(expected["best"], abs=abs)


@pytest.mark.parametrize("n_words", [1, 9, 80, 140], ids=str)
def test_prompt_logprobs_equal_those_of_full_logits(engine: LocalEngine, n_words: int) -> None:
    text = " ".join(LONG.split()[:n_words])
    check(engine, text, run(engine, echo_of(text))[0], abs=1e-4)


def test_prompts_are_scored_beside_other_requests(engine: LocalEngine) -> None:
    texts = [" ".join(LONG.split()[i : i + 20 + 30 * i]) for i in range(4)]
    others = [
        Request(id=9, prompt=Prompt(text=LONG), sampling=Sampling(max_tokens=40), n=2),
        ScoreRequest(id=10, prompt=Prompt(text=LONG), candidates=(" a", " b")),
        Request(id=11, prompt=Prompt(text=LONG + "zz"), sampling=Sampling(max_tokens=3)),
    ]
    events: list[Event] = list(
        engine.stream([others[0], *(echo_of(t, i) for i, t in enumerate(texts)), *others[1:]])
    )
    assert not [event for event in events if isinstance(event, Failed)]
    for i, text in enumerate(texts):
        found = [e.prompt_logprob for e in events if isinstance(e, Token) and e.id == i]
        # The batch sizes differ, so attention adds in another order.
        check(engine, text, [each for each in found if each], abs=0.05)
    sequences = engine.contexts.sequences
    assert sequences is not None and sequences.n_free == sequences.context.n_seq


def test_cached_prefix_is_computed_again(engine: LocalEngine) -> None:
    """A cached prefix has no logits."""
    asked = Prompt(text=LONG + " one", probe_text=LONG + "?")
    for _ in range(2):
        run(engine, Request(prompt=asked, sampling=Sampling(max_tokens=1)))
    request = msgspec.structs.replace(echo_of(LONG), prompt=asked)
    (end,) = [event for event in engine.stream([request]) if isinstance(event, Finished)]
    assert end.usage.cached_tokens == 0
    # The prefix takes cells, so attention adds in another order.
    check(engine, LONG + " one", run(engine, request)[0], abs=0.02)


def test_reply_follows_the_prompt(plain: LocalEngine) -> None:
    request = echo_of(LONG, n=3, max_tokens=4, temperature=1.5, seed=3)
    texts = ["", "", ""]
    kinds = []
    for event in plain.stream([request]):
        if isinstance(event, Token):
            kinds.append(event.prompt_logprob is not None)
            texts[event.choice] += event.text
    n_prompt = len(plain.tokenize(request.prompt).token_ids)
    assert kinds[:n_prompt] == [True] * n_prompt and not any(kinds[n_prompt:])
    silent = msgspec.structs.replace(request, echo=False)
    expected = ["", "", ""]
    for event in plain.stream([silent]):
        if isinstance(event, Token):
            expected[event.choice] += event.text
    assert texts == expected


@pytest.mark.parametrize("n", [1, 3])
def test_no_reply_is_generated_for_zero_tokens(plain: LocalEngine, n: int) -> None:
    request = echo_of("hello there", n=n, think_tokens=5)
    events = list(plain.stream([request]))
    ends = [event for event in events if isinstance(event, Finished)]
    assert [end.choice for end in ends] == list(range(n))
    assert {(end.finish_reason, end.usage.completion_tokens) for end in ends} == {("length", 0)}
    assert not [event for event in events if isinstance(event, Token) and event.text]
    sequences = plain.contexts.sequences
    assert sequences is not None and sequences.n_free == sequences.context.n_seq
    assert sequences.n_free_cells == sequences.context.n_ctx_seq


def test_alternatives_are_optional(plain: LocalEngine) -> None:
    found = run(plain, echo_of("hello there", logprobs=0))[0]
    assert len(found) > 2 and not any(each.top for each in found)
    assert all(each.logprob is not None and each.logprob < 0 for each in found[1:])


def test_memory_is_bounded_by_rows_of_a_chunk(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    assert len(run(engine, echo_of(LONG * 3))[0]) > 500
    sequences = engine.contexts.sequences
    assert sequences is not None and sequences.context.n_outputs == 64
    engine.close()


def test_prompt_may_fill_the_context(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_ctx=256)
    ids = engine.tokenize(Prompt(text=LONG)).token_ids
    full = msgspec.structs.replace(echo_of(""), prompt=Prompt(token_ids=ids[:256]))
    assert len(run(engine, full)[0]) == 256
    with pytest.raises(ContextOverflow, match="shorten the input|raise n_ctx"):
        run(engine, msgspec.structs.replace(full, prompt=Prompt(token_ids=ids[:257])))
    engine.close()


def test_cancelled_prompt_releases_everything(plain: LocalEngine) -> None:
    cancellation = Cancellation()
    request = msgspec.structs.replace(echo_of(LONG), cancellation=cancellation)
    events = []
    for event in plain.stream([request, echo_of("hello", 1)]):
        events.append(event)
        cancellation.cancel()
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.id == 0 and isinstance(failed.error, Cancelled)
    n_prompt = len(plain.tokenize(request.prompt).token_ids)
    assert sum(isinstance(e, Token) and e.id == 0 for e in events) < n_prompt
    sequences = plain.contexts.sequences
    assert sequences is not None and sequences.n_free_cells == sequences.context.n_ctx_seq


def test_reproducible_engine_scores_the_same_alone_and_after_others(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, reproducible=True)
    first = run(engine, echo_of(LONG))[0]
    later = run(engine, echo_of("hello", 1), echo_of(LONG, 2))[2]
    assert first == later
    engine.close()


def test_token_ids_are_used_as_they_are(plain: LocalEngine) -> None:
    tokenized = plain.tokenize(Prompt(text="hello there"))
    ids = Prompt(token_ids=tokenized.token_ids)
    found = plain.tokenize(ids)
    assert "".join(piece.decode() for piece in found.pieces) == "hello there"
    assert found == msgspec.structs.replace(tokenized, opening="", pieces=found.pieces)
    by_text = run(plain, echo_of("hello there"))[0]
    assert run(plain, msgspec.structs.replace(echo_of(""), prompt=ids))[0] == by_text


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ((), InputError, "the prompt is empty"),
        ((1, 10**6), UsageError, r"token 1000000 of the prompt: ids of this model end at \d+"),
        ((-1,), UsageError, "token -1 of the prompt"),
    ],
    ids=["empty", "too large", "negative"],
)
def test_invalid_token_ids_are_an_error(
    plain: LocalEngine, ids: tuple[int, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(plain, Request(prompt=Prompt(token_ids=ids)))


def test_zero_tokens_without_echo_are_an_error(plain: LocalEngine) -> None:
    with pytest.raises(UsageError, match="max_tokens is 0"):
        run(plain, msgspec.structs.replace(echo_of("hello"), echo=False))
