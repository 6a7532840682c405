"""Separate streams for long prompts, with the same probabilities as single requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine.released import assert_all_released
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool.cancellation import Cancellation
from llmtool.engine.llama import context_planner
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.types import (
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
)
from llmtool.errors import Cancelled, EngineError

KINDS = ["plain", "swa"]


def make_request(id: int, n_prompt: int = 400, max_tokens: int = 6, **more: Any) -> Request:
    """Return a request whose prompt has `n_prompt` tokens; each letter is a token."""
    text = "".join("qzwk"[(id >> i % 5) % 4] for i in range(n_prompt))
    sampling = Sampling(temperature=0, max_tokens=max_tokens, logprobs=1)
    return Request(id=id, prompt=Prompt(text=text), sampling=sampling, **more)


@pytest.fixture(scope="module")
def engines(tiny_model: Callable[..., Path]) -> Iterator[Callable[[str, int], LocalEngine]]:
    made: dict[tuple[str, int], LocalEngine] = {}

    def get(kind: str, n_parallel: int) -> LocalEngine:
        if (kind, n_parallel) not in made:
            model = tiny_model(kind, printable=True)
            made[kind, n_parallel] = LocalEngine(
                load_model(model), n_threads=1, n_parallel=n_parallel
            )
        return made[kind, n_parallel]

    yield get
    for engine in made.values():
        engine.close()


def has_separate_streams(engine: LocalEngine) -> bool:
    assert engine.contexts.sequences is not None
    return engine.contexts.sequences.context.separate_streams


@dataclass
class CollectedReply:
    tokens: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    n_cached: int = 0


def collect_replies(engine: LocalEngine, requests: Sequence[Request]) -> dict[int, CollectedReply]:
    found = {each.id: CollectedReply() for each in requests}
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        reply = found[event.id]
        if isinstance(event, Token):
            assert event.logprob is not None
            reply.tokens.append(event.text)
            reply.logprobs.append(event.logprob.logprob)
        else:
            reply.n_cached = event.usage.cached_tokens
    return found


def assert_equal_to_single_requests(
    alone: LocalEngine, requests: Sequence[Request], found: dict[int, CollectedReply]
) -> None:
    """Compare replies with those of an engine that runs one request at a time.

    Flash attention adds in half precision, in an order that depends on the batch. If two tokens are
    almost equally likely, either may be sampled, and the rest of the reply is not compared.
    """
    n_same = n_all = 0
    for request in requests:
        reply, expected = found[request.id], collect_replies(alone, [request])[request.id]
        assert len(reply.tokens) == len(expected.tokens) == request.sampling.max_tokens
        alike = [a == b for a, b in zip(reply.tokens, expected.tokens, strict=True)]
        n = alike.index(False) if False in alike else len(alike)
        assert reply.logprobs[:n] == pytest.approx(expected.logprobs[:n], abs=0.05)
        n_same, n_all = n_same + n, n_all + len(alike)
    assert n_same > 0.8 * n_all


@pytest.mark.parametrize(
    ("kind", "n_parallel"),
    [
        ("plain", 16),
        ("swa", 5),
        pytest.param("plain", 5, marks=pytest.mark.long),
        pytest.param("swa", 16, marks=pytest.mark.long),
    ],
)
def test_probabilities_equal_those_of_the_request_alone(
    engines: Callable[[str, int], LocalEngine], kind: str, n_parallel: int
) -> None:
    engine, alone = engines(kind, n_parallel), engines(kind, 1)
    # They end at different steps, out of order, and leave gaps.
    requests = [make_request(id, 900 + 20 * id, max_tokens=4 + 5 * id % 17) for id in range(8)]
    found = collect_replies(engine, requests)
    assert has_separate_streams(engine)
    assert_all_released(engine)
    assert_equal_to_single_requests(alone, requests, found)


def test_running_sequences_have_adjacent_ids(
    engines: Callable[[str, int], LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, computed = Context.decode, []

    def watch(self: Context) -> None:
        computed.append(sorted(set(self.batch._sequences[: self.batch.n_tokens])))
        decode(self)

    monkeypatch.setattr(Context, "decode", watch)
    collect_replies(
        engines("plain", 16),
        [make_request(id, 600, max_tokens=2 + 5 * id % 17) for id in range(12)],
    )
    widths = {len(sequences) for sequences in computed if len(sequences) > 1}
    assert len(widths) > 5, "the sequences end at different steps"
    assert all(each[-1] - each[0] < len(each) for each in computed)


@pytest.mark.parametrize("kind", KINDS)
def test_common_prefix_is_computed_once(
    engines: Callable[[str, int], LocalEngine], kind: str
) -> None:
    engine, alone = engines(kind, 5), engines(kind, 1)
    beginning = "qzwk" * 50
    requests = [
        Request(
            id=id,
            prompt=Prompt(text=beginning + (make_request(id, 1000).prompt.text or "")),
            sampling=Sampling(temperature=0, max_tokens=4, logprobs=1),
        )
        for id in range(9)
    ]
    found = collect_replies(engine, requests)
    assert has_separate_streams(engine)
    assert sum(each.n_cached for each in found.values()) >= (len(requests) - 1) * len(beginning)
    assert_equal_to_single_requests(alone, requests, found)


LONG = [make_request(id, 600) for id in range(12)]
POOLED: dict[str, list[Request]] = {
    "one": LONG[:1],
    "a long common prefix": [make_request(1, 800 + id) for id in range(12)],
    "equal prompts": [make_request(1, 1000) for _ in range(12)],
    "choices": [*LONG[:11], make_request(11, 600, n=3)],
    "one with keep": [*LONG[:11], make_request(11, 600, keep=True)],
    "one much longer than the others": [
        *(make_request(id, 300) for id in range(14)),
        make_request(14, 1900),
    ],
}


@pytest.mark.parametrize("requests", POOLED.values(), ids=POOLED)
def test_other_requests_share_a_pool(
    engines: Callable[[str, int], LocalEngine], requests: list[Request]
) -> None:
    engine = engines("plain", 15)
    assert sum(isinstance(event, Finished) for event in engine.stream(requests)) >= len(requests)
    assert not has_separate_streams(engine)


@pytest.mark.parametrize("kind", ["recurrent", "hybrid"])
def test_recurrent_models_share_a_pool(
    engines: Callable[[str, int], LocalEngine], kind: str
) -> None:
    engine = engines(kind, 16)
    assert sum(isinstance(event, Finished) for event in engine.stream(LONG)) == len(LONG)
    assert not has_separate_streams(engine)


def test_request_that_cannot_use_its_own_stream_waits(
    engines: Callable[[str, int], LocalEngine],
) -> None:
    engine = engines("plain", 5)

    def arrive() -> Iterator[Request | ScoreRequest]:
        yield from (make_request(id, 900) for id in range(6))
        yield make_request(6, 600, n=2)
        yield ScoreRequest(id=7, prompt=Prompt(text="hello"), candidates=("a", "b"))
        yield make_request(8, 1700)  # longer than a stream
        yield from (make_request(id, 900) for id in range(9, 15))

    modes: dict[int, bool] = {}
    for event in engine.stream(arrive()):
        assert not isinstance(event, Failed)
        if isinstance(event, (Finished, Scores)):
            modes[event.id] = has_separate_streams(engine)
    assert sorted(modes) == list(range(15))
    assert all(modes[id] for id in range(5)) and not modes[6] and not modes[7]
    assert_all_released(engine)


@pytest.mark.parametrize("n_cells", [5000, 2000], ids=["fewer streams", "no streams"])
def test_fewer_streams_or_a_pool_if_memory_is_short(
    n_cells: int, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=16)
    make, tried = engine.contexts._create_context, []

    def fail_if_large(size: context_planner.ContextSize, *others: Any) -> Sequences:
        tried.append(size.n_cells)
        if size.n_cells > n_cells:
            raise EngineError("no memory")
        return make(size, *others)

    monkeypatch.setattr(engine.contexts, "_create_context", fail_if_large)
    assert sum(isinstance(event, Finished) for event in engine.stream(LONG)) == len(LONG)
    assert has_separate_streams(engine) == (n_cells == 5000)
    before = len(tried)
    assert sum(isinstance(event, Finished) for event in engine.stream(LONG)) == len(LONG)
    assert all(n <= n_cells for n in tried[before:]), "failed sizes are not tried again"
    engine.close()


def test_concurrent_requests_stay_within_the_memory_limit(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_planner, "_KV_BYTES", 1 << 20)
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=16)
    assert sum(isinstance(event, Finished) for event in engine.stream(LONG)) == len(LONG)
    assert not has_separate_streams(engine)
    engine.close()


def test_many_short_requests_after_few_long_ones_take_no_more_memory(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=16)
    few, many = [make_request(id, 1700) for id in range(5)], LONG
    assert sum(isinstance(event, Finished) for event in engine.stream(few)) == len(few)
    assert has_separate_streams(engine)
    assert sum(isinstance(event, Finished) for event in engine.stream(many)) == len(many)
    assert engine.info.n_cells < len(many) * 1700
    engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_conversation_stays_cached_after_a_batch(
    kind: str, tiny_model: Callable[..., Path]
) -> None:
    engine = LocalEngine(load_model(tiny_model(kind, printable=True)), n_threads=1, n_parallel=16)
    first = make_request(1, 150, keep=True)
    (reply,) = collect_replies(engine, [first]).values()
    assert len(collect_replies(engine, LONG)) == len(LONG) and has_separate_streams(engine)
    text = (first.prompt.text or "") + "".join(reply.tokens) + "qzwk"
    second = Request(id=1, prompt=Prompt(text=text), sampling=first.sampling, keep=True)
    assert collect_replies(engine, [second])[1].n_cached >= 150
    engine.close()


def test_streams_do_not_select_the_long_rope_factors(tiny_model: Callable[..., Path]) -> None:
    metadata = {"llama.rope.scaling.original_context_length": 768}
    engine = LocalEngine(
        load_model(tiny_model("plain", metadata=metadata)), n_threads=1, n_parallel=8
    )
    for n_prompt, uses_long_rope in ((600, False), (900, True), (600, False)):
        assert len(list(engine.stream([make_request(id, n_prompt) for id in range(8)]))) > 8
        assert engine.contexts.sequences is not None
        context = engine.contexts.sequences.context
        assert (context.separate_streams, context.uses_long_rope) == (True, uses_long_rope)
        assert (context.n_ctx_seq > 768) == uses_long_rope
    engine.close()


def test_running_and_idle_sequences_move_with_their_state(tiny: Path) -> None:
    weights = LlamaModel(tiny, n_gpu_layers=0, cancellation=Cancellation())
    context = Context(
        weights,
        n_ctx=1024,
        n_threads=1,
        n_seq=4,
        separate_streams=True,
        cancellation=Cancellation(),
    )
    sequences = Sequences(context)
    taken = [sequences.acquire() for _ in range(3)]
    assert taken == [0, 1, 2] and sequences.n_free_cells == context.n_ctx_seq == 256
    context.prefill(b"some text", seq=0)
    idle = b"the text of a request that has ended"
    context.prefill(idle, seq=1)
    sequences.retire(1, tuple(idle), keep=True)
    context.prefill(b"a text", seq=2)
    assert sequences.compact() == {2: 1}
    assert [context.length(seq) for seq in range(4)] == [9, 6, 0, len(idle)]
    assert [each.seq for each in sequences.idle] == [3] and sequences.n_free == 2
    assert sequences.compact() == {}
    context.close()
    weights.close()


def test_state_loaded_into_a_copied_stream_does_not_change_the_copy(tiny: Path) -> None:
    weights = LlamaModel(tiny, n_gpu_layers=0, cancellation=Cancellation())
    context = Context(
        weights,
        n_ctx=1024,
        n_threads=1,
        n_seq=4,
        separate_streams=True,
        cancellation=Cancellation(),
    )

    def continue_with_q(seq: int) -> list[float]:
        row = context.prefill(b"q", seq=seq, pos=4)
        logits = weights._lib.llama_get_logits_ith(context._ctx, row)
        return logits[: weights.n_vocab]

    context.prefill(b"text", seq=2)
    expected = continue_with_q(2)
    context.prefill(b"zwkz", seq=3)
    other = context.save(3)
    context.prefill(b"text", seq=0)
    context.copy(0, 1)
    context.drop(0)
    assert context.restore(0, other) and context.length(0) == 4
    assert continue_with_q(1) == pytest.approx(expected, abs=0.01)
    assert continue_with_q(0) != pytest.approx(expected, abs=0.01)
    context.close()
    weights.close()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plan=st.lists(
        st.tuples(st.integers(1, 400), st.integers(1, 20), st.sampled_from([1, 1, 1, 3]),
                  st.none() | st.integers(0, 40), st.integers(0, 2)),
        min_size=1, max_size=14,
    ),
    n_parallel=st.sampled_from([2, 5, 16]),
    kind=st.sampled_from(KINDS),
)  # fmt: skip
def test_any_mix_of_requests_ends_and_releases_everything(
    engines: Callable[[str, int], LocalEngine],
    plan: list[tuple[int, int, int, int | None, int]],
    n_parallel: int,
    kind: str,
) -> None:
    engine = engines(kind, n_parallel)
    requests = [
        make_request(id, n_prompt, max_tokens, n=n, cancellation=Cancellation())
        for id, (n_prompt, max_tokens, n, _, _) in enumerate(plan)
    ]

    def arrive() -> Iterator[Request | None]:
        for request, (*_, delay) in zip(requests, plan, strict=True):
            yield from [None] * delay
            yield request

    ends = {id: 0 for id in range(len(plan))}
    for n_events, event in enumerate(engine.stream(arrive())):
        if isinstance(event, Failed):
            assert isinstance(event.error, Cancelled)
            ends[event.id] = requests[event.id].n
        ends[event.id] += isinstance(event, Finished)
        for request, (*_, cancel_after, _delay) in zip(requests, plan, strict=True):
            if cancel_after == n_events and request.cancellation:
                request.cancellation.cancel()
    assert all(ends[request.id] >= request.n for request in requests)
    if engine.contexts.sequences is not None:
        assert_all_released(engine)


def run_clients(engine: LocalEngine, requests: Sequence[Request], n: int) -> list[CollectedReply]:
    """Run requests of `n` clients, each of which sends one after another."""
    found = {each.id: CollectedReply() for each in requests}
    n_open = 0

    def arrive() -> Iterator[Request | None]:
        nonlocal n_open
        for i, each in enumerate(requests):
            while n_open >= n or (i == 1 and not found[0].tokens):  # the first one begins alone
                yield None
            n_open += each.n
            yield each

    for event in engine.stream(arrive()):
        assert not isinstance(event, Failed)
        if isinstance(event, Token):
            assert event.logprob is not None
            found[event.id].tokens.append(event.text)
            found[event.id].logprobs.append(event.logprob.logprob)
        else:
            n_open -= 1
    return list(found.values())


@pytest.fixture
def server_engine(tiny_model: Callable[..., Path]) -> Iterator[LocalEngine]:
    weights = load_model(tiny_model("plain", printable=True))
    engine = LocalEngine(weights, n_threads=1, n_parallel=8)
    yield engine
    engine.close()


def test_streams_replace_the_pool_of_a_busy_server(
    server_engine: LocalEngine, engines: Callable[[str, int], LocalEngine]
) -> None:
    requests = [make_request(i, n_prompt=200, max_tokens=4 + i % 5) for i in range(120)]
    run_clients(server_engine, requests[:60], 6)
    assert not has_separate_streams(server_engine)
    found = run_clients(server_engine, requests, 6)
    assert has_separate_streams(server_engine)
    assert_equal_to_single_requests(engines("plain", 1), requests[::6], dict(enumerate(found)))


@pytest.mark.parametrize(
    ("n_clients", "more"), [(3, {}), (6, {"n": 2}), (6, {"max_tokens": 200})], ids=str
)
def test_pool_remains_for_few_clients_several_choices_and_long_replies(
    n_clients: int, more: dict[str, int], server_engine: LocalEngine
) -> None:
    requests = [make_request(i, n_prompt=60) for i in range(100)]
    requests[::5] = [make_request(i, n_prompt=60, **more) for i in range(0, 100, 5)]
    run_clients(server_engine, requests, n_clients)
    assert not has_separate_streams(server_engine)


def test_steps_have_whole_prompts(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    n_tokens, decode = [], Context.decode

    def record(self: Context) -> None:
        n_tokens.append(self.batch.n_tokens)
        decode(self)

    monkeypatch.setattr(Context, "decode", record)
    engine = engines("plain", 16)
    requests = [make_request(16 + id, n_prompt=200, max_tokens=1) for id in range(4)]
    collect_replies(engine, [*requests, make_request(30, n_prompt=700, max_tokens=1)])
    assert has_separate_streams(engine)
    # A batch has up to 512 tokens, and only a longer prompt is divided.
    assert n_tokens == [400, 512, 512, 76]
