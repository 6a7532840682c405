"""Requests of any stream reuse what earlier ones computed, and release everything at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.released import assert_all_released, assert_consistent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.fairness import ChunkSize
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import (
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
    Usage,
)
from llmtool.errors import Cancelled

KINDS = ["plain", "swa", "recurrent", "hybrid"]
SYSTEM = Message("system", "be brief and kind to all who ask, and name a book " * 2)
N_REPLY = 6


@pytest.fixture
def start(tiny_model: Callable[..., Path]) -> Iterator[Callable[..., LocalEngine]]:
    made: list[LocalEngine] = []

    def make(kind: str, **options: Any) -> LocalEngine:
        made.append(LocalEngine(load_model(tiny_model(kind)), n_threads=1, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def make_request(messages: list[Message], *, id: int = 0, **more: Any) -> Request:
    sampling = Sampling(temperature=0, max_tokens=more.pop("max_tokens", N_REPLY))
    prompt = more.pop("prompt", None) or Prompt(messages=(SYSTEM, *messages))
    return Request(id=id, prompt=prompt, sampling=sampling, keep=True, **more)


def serve(engine: LocalEngine, requests: list[Request]) -> dict[int, tuple[str, Usage]]:
    texts = {request.id: "" for request in requests}
    found = {}
    for event in engine.stream(requests):
        assert not isinstance(event, Failed), event
        if isinstance(event, Token):
            texts[event.id] += event.text
        elif isinstance(event, Finished):
            found[event.id] = texts[event.id], event.usage
    return found


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("kind", KINDS)
def test_interleaved_conversations_compute_only_new_tokens(
    kind: str, together: bool, start: Callable[..., LocalEngine]
) -> None:
    engine = start(kind, n_parallel=4)
    conversations = [[Message("user", f"{i} says hello there")] for i in range(6)]
    n_before: dict[int, int] = {}
    for turn in range(4):
        requests = [make_request(each, id=i) for i, each in enumerate(conversations)]
        found: dict[int, tuple[str, Usage]] = {}
        for group in [requests] if together else [[each] for each in requests]:
            found |= serve(engine, group)
        for i, (reply, usage) in found.items():
            if turn:
                # The prompts of the turns before, and most of the replies.
                assert usage.cached_tokens >= n_before[i] - 1
            n_before[i] = usage.prompt_tokens
            conversations[i] += [
                Message("assistant", reply),
                Message("user", f"{turn} how are you"),
            ]
    assert_all_released(engine)


@pytest.mark.parametrize("kind", ["plain", "swa"])
def test_conversation_is_reused_while_another_one_continues_it(
    kind: str, start: Callable[..., LocalEngine]
) -> None:
    engine = start(kind, n_parallel=4)
    text = "hello there how are you " * 10
    running = make_request([Message("user", text)], id=1, max_tokens=60)
    fork = make_request([Message("user", text + "the quick brown fox")], id=2)

    def arrive() -> Iterator[Request | None]:
        yield running
        yield from [None] * 4
        yield fork

    usages = {e.id: e.usage for e in engine.stream(arrive()) if isinstance(e, Finished)}
    assert usages[2].cached_tokens > 150
    assert_all_released(engine)


@pytest.mark.parametrize("kind", ["plain", "swa"])
def test_whole_prompt_of_a_running_reply_is_reused_without_the_reply(
    kind: str, start: Callable[..., LocalEngine]
) -> None:
    engine, ids = start(kind, n_parallel=4), tuple(range(40, 90))
    running = make_request([], prompt=Prompt(token_ids=ids), id=1, max_tokens=30)
    longer = make_request([], prompt=Prompt(token_ids=(*ids, *range(100, 110))), id=2)

    def arrive() -> Iterator[Request | None]:
        yield running
        yield from [None] * 4
        yield longer

    found = dict.fromkeys((1, 2), "")
    for event in engine.stream(arrive()):
        if isinstance(event, Token):
            found[event.id] += event.text
        elif event.id == 2:
            assert isinstance(event, Finished) and event.usage.cached_tokens == len(ids)
    alone = start(kind, n_parallel=1)
    assert found[2] == serve(alone, [longer])[2][0]
    assert_all_released(engine)


def test_token_ids_of_a_prompt_are_not_replaced_by_cached_ones(
    start: Callable[..., LocalEngine],
) -> None:
    engine = start("plain")
    ids = (*b"q" * 40, 257, 108)  # token 257 is "he"
    prompt = Prompt(token_ids=ids)
    reply = serve(engine, [make_request([], prompt=prompt, max_tokens=1)])[0][0]
    prompt = Prompt(token_ids=(*b"q" * 40, *b"hel", *reply.encode(), *b"z"))
    usage = serve(engine, [make_request([], prompt=prompt)])[0][1]
    assert (usage.prompt_tokens, usage.cached_tokens) == (len(prompt.token_ids or ()), 40)


def test_nothing_is_saved_without_a_limit(start: Callable[..., LocalEngine]) -> None:
    engine = start("plain", cache_bytes=0)
    first, other = ([Message("user", text)] for text in ("hello there " * 9, "quick fox " * 9))
    serve(engine, [make_request(first)])
    serve(engine, [make_request(other)])
    assert serve(engine, [make_request(first)])[0][1].cached_tokens < 130


def test_reply_to_a_cached_conversation_is_the_same(start: Callable[..., LocalEngine]) -> None:
    """On a recurrent model, whose results do not depend on the batch size."""
    engine, fresh = start("recurrent", n_parallel=4), start("recurrent", n_parallel=1)
    conversations = [[Message("user", f"{i} says hello there")] for i in range(5)]
    for _ in range(3):
        found = serve(engine, [make_request(m, id=i) for i, m in enumerate(conversations)])
        for i, (reply, _) in found.items():
            fresh.contexts.close()
            assert serve(fresh, [make_request(conversations[i])])[0][0] == reply
            conversations[i] += [Message("assistant", "hello"), Message("user", "how are you")]


def test_cancelled_prefix_computes_nothing_more(
    start: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellation, sizes = Cancellation(), []
    decode = Context.decode

    def cancelling(self: Context) -> None:
        sizes.append(self.batch.n_tokens)
        decode(self)
        cancellation.cancel()

    monkeypatch.setattr(Context, "decode", cancelling)
    prompt = Prompt(text="q" * 1500 + "z", probe_text="q" * 1500 + "k")
    request = make_request([], prompt=prompt, cancellation=cancellation)
    (event,) = start("plain").stream([request])
    assert isinstance(event, Failed) and isinstance(event.error, Cancelled)
    assert sizes == [512]


def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of tokens of each batch."""
    sizes: list[int] = []
    decode = Context.decode

    def counting(self: Context) -> None:
        sizes.append(self.batch.n_tokens)
        decode(self)

    monkeypatch.setattr(Context, "decode", counting)
    return sizes


@pytest.mark.parametrize("probe", ["", "q" * 1400], ids=["prompt", "prefix"])
def test_running_reply_gets_a_token_between_chunks_of_a_prompt(
    probe: str, start: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChunkSize, "size", lambda *_, n_replies: 50)
    engine, sizes = start("plain", n_parallel=4), batch_sizes(monkeypatch)
    prompt = Prompt(text="q" * 1400 + "z", probe_text=probe and probe + "k")

    def arrive() -> Iterator[Request | None]:
        yield make_request([Message("user", "hello")], id=1, max_tokens=200)
        yield from [None] * 5
        yield make_request([], prompt=prompt, id=2)

    n_tokens = n_at_end = 0
    for event in engine.stream(arrive()):
        n_tokens += isinstance(event, Token) and event.id == 1
        if isinstance(event, Finished) and event.id == 2:
            n_at_end = n_tokens
    n_chunks = sum(size >= 50 for size in sizes)
    assert n_chunks >= 1400 // 50
    assert n_at_end >= n_chunks
    assert max(sizes[1:]) <= 51
    assert_all_released(engine)


@pytest.fixture(scope="module")
def engines(tiny_model: Callable[..., Path]) -> Iterator[Callable[[str, int], LocalEngine]]:
    made: dict[tuple[str, int], LocalEngine] = {}

    def get(kind: str, limit: int) -> LocalEngine:
        if (kind, limit) not in made:
            weights = load_model(tiny_model(kind))
            made[kind, limit] = LocalEngine(weights, n_threads=1, n_parallel=4, cache_bytes=limit)
        return made[kind, limit]

    yield get
    for engine in made.values():
        engine.close()


# The turns of a stream: conversation, choices, tokens of the reply, probe, event after which it is
# cancelled, polls before it arrives; choices 0 is a request for scores.
TURNS = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from([1, 1, 1, 3, 0]), st.integers(1, 12), st.booleans(),
        st.none() | st.none() | st.integers(0, 25), st.integers(0, 2),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    streams=st.lists(st.tuples(TURNS, st.booleans()), min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
    limit=st.sampled_from([0, 200_000, 1 << 30]),
)
def test_any_mix_of_conversations_and_cancellations_releases_everything(
    engines: Callable[[str, int], LocalEngine], streams: list[Any], kind: str, limit: int
) -> None:
    engine = engines(kind, limit)
    conversations = [[Message("user", f"{i} says hello there")] for i in range(6)]
    for turns, is_abandoned in streams:
        requests: list[Request | ScoreRequest] = []
        for id, (i, n, max_tokens, has_probe, *_) in enumerate(turns):
            messages = (SYSTEM, *conversations[i])
            probe = (SYSTEM, Message("user", "zq")) if has_probe else ()
            prompt, stop = Prompt(messages=messages, probe=probe), Cancellation()
            requests.append(
                make_request(
                    [], id=id, prompt=prompt, n=n, max_tokens=max_tokens, cancellation=stop
                )
                if n
                else ScoreRequest(id=id, prompt=prompt, candidates=("a", "bc"), cancellation=stop)
            )

        def arrive(requests: list[Any] = requests, turns: list[Any] = turns) -> Iterator[Any]:
            for request, (*_, delay) in zip(requests, turns, strict=True):
                yield from [None] * delay
                yield request

        ended: dict[int, int] = dict.fromkeys(range(len(turns)), 0)
        texts = dict.fromkeys(range(len(turns)), "")
        events = engine.stream(arrive())
        for n_events, event in enumerate(events):
            if isinstance(event, Token) and not event.choice:
                texts[event.id] += event.text
            elif isinstance(event, Failed):
                assert isinstance(event.error, Cancelled)
                ended[event.id] = 99
            elif isinstance(event, (Finished, Scores)):
                assert 0 <= event.usage.cached_tokens <= event.usage.prompt_tokens
                ended[event.id] += 1
            for request, (*_, cancel_after, _delay) in zip(requests, turns, strict=True):
                if cancel_after == n_events and request.cancellation:
                    request.cancellation.cancel()
            if is_abandoned and n_events > 12:
                break
        events.close()
        for id, (i, n, *_) in enumerate(turns):
            assert is_abandoned or ended[id] >= max(n, 1)
            if len(conversations[i]) < 9:
                conversations[i] += [
                    Message("assistant", texts[id]),
                    Message("user", "how are you"),
                ]
        if engine.contexts.sequences is not None:
            assert_consistent(engine.contexts.sequences)
        assert engine.contexts.cache.size_bytes <= limit
    assert_all_released(engine)


def test_prompts_of_a_batch_are_not_computed_in_chunks(
    start: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChunkSize, "size", lambda *_, n_replies: 50)
    engine, sizes = start("plain", n_parallel=4), batch_sizes(monkeypatch)
    requests = [make_request([], prompt=Prompt(text=c * 600), id=i) for i, c in enumerate("qzwkvh")]
    for event in engine.stream(requests):
        assert not isinstance(event, Failed)
    assert 50 not in sizes
