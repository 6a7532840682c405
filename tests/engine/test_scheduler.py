"""Concurrent requests: each gets the reply that it gets alone, and releases its resources.

Texts are compared exactly on the recurrent model, whose results do not depend on the batch size.
Flash attention adds in half precision, in an order that depends on the batch size; with attention,
batches of the same size are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.released import assert_all_released
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_adapter import write_tiny_adapter

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import (
    Adapter,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Token,
)
from llmtool.errors import Cancelled, ContextOverflow, UsageError
from llmtool.structured.constraint import Constraint

KINDS = ["plain", "swa", "recurrent", "hybrid"]
WORDS = "the quick brown fox jumps over a lazy dog and hello there how are you".split()
TOO_LONG = "hello " * 3000


def make_request(text: str, id: int = 0, n: int = 1, **sampling: Any) -> Request:
    prompt = Prompt(messages=(Message("user", text),))
    return Request(id=id, prompt=prompt, sampling=Sampling(**sampling), n=n)


def collect_texts(engine: LocalEngine, requests: Sequence[Request]) -> dict[tuple[int, int], str]:
    """Return the texts by request and choice."""
    texts: dict[tuple[int, int], str] = {}
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            key = event.id, event.choice
            texts[key] = texts.get(key, "") + event.text
    return texts


@pytest.fixture(scope="module")
def engines(tiny_model: Callable[..., Path]) -> Iterator[Callable[..., LocalEngine]]:
    """Return `get(kind, n_parallel)`, which makes each engine once."""
    made: dict[tuple[str, int], LocalEngine] = {}

    def get(kind: str, n_parallel: int) -> LocalEngine:
        key = kind, n_parallel
        if key not in made:
            made[key] = LocalEngine(
                load_model(tiny_model(kind)), n_threads=1, n_parallel=n_parallel
            )
        return made[key]

    yield get
    for engine in made.values():
        engine.close()


class Case(msgspec.Struct, frozen=True):
    """A request that is cancelled after `cancel_after` events and arrives `delay` polls late."""

    request: Request
    cancel_after: int | None
    delay: int


@st.composite
def cases(draw: st.DrawFn, adapters: Sequence[tuple[Adapter, ...]] = ((),)) -> Case:
    constraint = draw(st.sampled_from([None] * 8 + ["(broken", "[a-z ]{3,9}"]))
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40))
    is_long = draw(st.integers(0, 15)) == 0
    echo = draw(st.integers(0, 5)) == 0
    request = make_request(
        TOO_LONG if is_long else " ".join(words),
        n=draw(st.sampled_from([1, 1, 1, 2, 5])),
        temperature=draw(st.sampled_from([0, 1.3])),
        seed=draw(st.integers(0, 5)),
        max_tokens=draw(st.integers(1, 16)),
        logprobs=1 if echo else 0,
        stop=tuple(draw(st.lists(st.sampled_from(["e", " t", "the"]), max_size=1))),
        constraint=constraint and Constraint("regex", constraint),
    )
    if echo:
        request = msgspec.structs.replace(request, echo=True)
        if draw(st.booleans()):
            sampling = msgspec.structs.replace(request.sampling, max_tokens=0, constraint=None)
            request = msgspec.structs.replace(request, sampling=sampling)
    prompt = msgspec.structs.replace(request.prompt, adapters=draw(st.sampled_from(adapters)))
    request = msgspec.structs.replace(request, prompt=prompt)
    cancel_after = draw(st.none() | st.none() | st.integers(0, 30))
    return Case(request, cancel_after, draw(st.integers(0, 2)))


def check_a_stream(engine: LocalEngine, alone: LocalEngine, plan: list[Case]) -> None:
    requests = [
        msgspec.structs.replace(case.request, id=i, cancellation=Cancellation())
        for i, case in enumerate(plan)
    ]

    def arrive() -> Iterator[Request | None]:
        for case, request in zip(plan, requests, strict=True):
            yield from [None] * case.delay
            yield request

    texts: dict[tuple[int, int], str] = {}
    echoes: dict[int, int] = {}
    ends: dict[tuple[int, int], Finished] = {}
    errors: dict[int, Exception] = {}
    for n_events, event in enumerate(engine.stream(arrive())):
        assert event.id not in errors, "no event after a failure"
        if isinstance(event, Failed):
            errors[event.id] = event.error
            continue
        key = event.id, event.choice
        assert key not in ends, "no event after the end"
        if isinstance(event, Token):
            texts[key] = texts.get(key, "") + event.text
            echoes[event.id] = echoes.get(event.id, 0) + (event.prompt_logprob is not None)
        else:
            ends[key] = event
        for case, request in zip(plan, requests, strict=True):
            if case.cancel_after == n_events and request.cancellation:
                request.cancellation.cancel()
    assert_all_released(engine)
    for i, (case, request) in enumerate(zip(plan, requests, strict=True)):
        keys = [(i, choice) for choice in range(request.n)]
        if i in errors:
            assert isinstance(errors[i], expected_error(case)), errors[i]
            continue
        assert expected_error(case) is Cancelled, "invalid requests fail"
        assert [key for key in ends if key[0] == i] and all(key in ends for key in keys)
        expected = collect_texts(alone, [msgspec.structs.replace(request, cancellation=None)])
        if not request.echo:  # its rows divide the prompt, and the rounding depends on the parts
            assert {key: texts.get(key, "") for key in keys} == {
                key: expected.get(key, "") for key in keys
            }
        n_echo = ends[i, 0].usage.prompt_tokens if request.echo else 0
        assert echoes.get(i, 0) == n_echo
        assert [ends[key].seed for key in keys] == [
            (request.sampling.seed or 0) + choice for choice in range(request.n)
        ]


def expected_error(case: Case) -> type[Exception]:
    constraint = case.request.sampling.constraint
    if case.request.prompt.messages[0].content == TOO_LONG:
        return ContextOverflow
    if constraint and constraint.source == "(broken":
        return UsageError
    return Cancelled


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, suppress_health_check=SLOW)
@given(plan=st.lists(cases(), min_size=1, max_size=12), n_parallel=st.sampled_from([1, 2, 5, 16]))
def test_concurrent_requests_get_the_same_replies_as_alone(
    engines: Callable[..., LocalEngine], plan: list[Case], n_parallel: int
) -> None:
    check_a_stream(engines("recurrent", n_parallel), engines("recurrent", 1), plan)


@settings(max_examples=15, suppress_health_check=SLOW)
@given(data=st.data(), n_parallel=st.sampled_from([2, 5, 16]))
def test_concurrent_requests_with_adapters_get_the_same_replies_as_alone(
    engines: Callable[..., LocalEngine],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    n_parallel: int,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    paths = [folder / f"adapter-{seed}.gguf" for seed in (1, 2)]
    for seed, path in enumerate(paths, 1):
        if not path.exists():
            write_tiny_adapter(path, "recurrent", seed=seed)
    one, two = (Adapter(str(path)) for path in paths)
    adapters = [(), (one,), (Adapter(two.path, 0.5),), (one, two)]
    plan = data.draw(st.lists(cases(adapters), min_size=1, max_size=12))
    check_a_stream(engines("recurrent", n_parallel), engines("recurrent", 1), plan)


@pytest.mark.long
@settings(max_examples=1500, deadline=None, suppress_health_check=SLOW)
@given(plan=st.lists(cases(), min_size=1, max_size=40), n_parallel=st.sampled_from([1, 2, 5, 16]))
def test_concurrent_requests_get_the_same_replies_as_alone_long(
    engines: Callable[..., LocalEngine], plan: list[Case], n_parallel: int
) -> None:
    check_a_stream(engines("recurrent", n_parallel), engines("recurrent", 1), plan)


@pytest.mark.parametrize("kind", KINDS)
def test_other_requests_do_not_change_a_reply_at_the_same_batch_size(
    kind: str, engines: Callable[..., LocalEngine]
) -> None:
    # Prompts of the same length, too short to share a prefix.
    engine, texts = engines(kind, 4), ["qqqq", "zzzz", "wwww", "kkkk"]
    assert len({len(engine.tokenize(Prompt(text=text)).token_ids) for text in texts}) == 1
    sampling = Sampling(temperature=0, max_tokens=20)

    def generate(prompts: list[str]) -> dict[tuple[int, int], str]:
        return collect_texts(
            engine,
            [
                Request(id=i, prompt=Prompt(text=t), sampling=sampling)
                for i, t in enumerate(prompts)
            ],
        )

    together = generate(texts)
    for i, text in enumerate(texts):
        assert set(generate([text] * 4).values()) == {together[i, 0]}
    assert len(set(together.values())) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_more_choices_than_sequences_run_one_after_another(
    kind: str, engines: Callable[..., LocalEngine]
) -> None:
    penalties = {"repeat_penalty": 1.3, "dry_multiplier": 0.8}  # with a state
    sampling = {"temperature": 1.5, "max_tokens": 8, **penalties}
    few = collect_texts(engines(kind, 1), [make_request("hello", n=5, seed=3, **sampling)])
    alone = [
        collect_texts(engines(kind, 1), [make_request("hello", seed=seed, **sampling)])[0, 0]
        for seed in range(3, 8)
    ]
    # Rounding depends on the cells of a sequence, so one may differ near a tie.
    assert sum(few[0, i] == alone[i] for i in range(5)) >= 4
    assert_all_released(engines(kind, 1))


def test_requests_are_read_only_as_they_can_run(
    engines: Callable[..., LocalEngine],
) -> None:
    read, ended, ahead = 0, 0, []

    def source() -> Iterator[Request]:
        nonlocal read
        for i in range(60):
            read += 1
            yield make_request(WORDS[i % len(WORDS)], i, max_tokens=4, temperature=0)

    for event in engines("plain", 4).stream(source()):
        if isinstance(event, Finished):
            ended += 1
            ahead.append(read - ended)
    assert ended == 60
    assert max(ahead) <= 2 * 4


# The largest number of replies in progress before the first one is complete, and after its step.
FIRST_WAVES = {
    "many requests": (30, 0, (4, 8)),
    "many requests on a GPU": (30, 1, (8, 8)),
    "as many as run together": (8, 0, (8, 4)),
    "fewer than run together": (14, 0, (4, 10)),
    "few": (11, 0, (11, 0)),
}


def test_replies_that_begin_over_time_need_no_first_wave(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=8)

    def arrive() -> Iterator[Request | None]:
        for i in range(30):
            yield make_request("hello", i, max_tokens=4, temperature=0)
            if i == 1:
                yield None

    most = 0
    for event in engine.stream(arrive()):
        if isinstance(event, Finished):
            break
        most = max(most, len(engine.progress.running))
    assert most == 8
    engine.close()


@pytest.mark.parametrize(
    ("n_requests", "n_gpu_layers", "n_running"), FIRST_WAVES.values(), ids=FIRST_WAVES
)
def test_first_replies_of_a_long_stream_are_computed_by_themselves(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_requests: int,
    n_gpu_layers: int,
    n_running: tuple[int, int],
) -> None:
    weights = load_model(tiny)
    monkeypatch.setattr(weights, "n_gpu_layers", n_gpu_layers)
    engine = LocalEngine(weights, n_threads=1, n_parallel=16 if 8 < n_requests < 16 else 8)
    requests = [make_request("hello", i, max_tokens=4, temperature=0) for i in range(n_requests)]
    most, ended = [0, 0], []
    for event in engine.stream(requests):
        most[bool(ended)] = max(most[bool(ended)], len(engine.progress.running))
        if isinstance(event, Finished):
            ended.append(event.id)
    assert sorted(ended) == list(range(n_requests))
    assert tuple(most) == n_running
    engine.close()


def test_idle_source_does_not_block_running_requests(
    engines: Callable[..., LocalEngine],
) -> None:
    ended: list[int] = []

    def source() -> Iterator[Request | None]:
        yield make_request("hello", 1, max_tokens=6)
        while not ended:
            yield None
        yield make_request("hello", 2, max_tokens=6)

    for event in engines("plain", 4).stream(source()):
        if isinstance(event, Finished):
            ended.append(event.id)
    assert ended == [1, 2]


def test_ended_sequence_is_replaced_immediately(engines: Callable[..., LocalEngine]) -> None:
    requests = [
        make_request("hello", i, temperature=0, max_tokens=40 if i == 0 else 5) for i in range(6)
    ]
    order = [e.id for e in engines("plain", 2).stream(requests) if isinstance(e, Finished)]
    assert order == [1, 2, 3, 4, 5, 0]


def test_common_prefix_of_requests_is_computed_once(
    engines: Callable[..., LocalEngine],
) -> None:
    preface = "the quick brown fox jumps over a lazy dog " * 6
    requests = [make_request(preface + word, i, max_tokens=2) for i, word in enumerate(WORDS[:8])]
    usages = [
        event.usage for event in engines("plain", 4).stream(requests) if isinstance(event, Finished)
    ]
    computed = sum(usage.prompt_tokens - usage.cached_tokens for usage in usages)
    assert computed < sum(usage.prompt_tokens for usage in usages) / 4
    assert_all_released(engines("plain", 4))


def test_one_engine_generates_and_scores(
    engines: Callable[..., LocalEngine],
) -> None:
    engine = engines("hybrid", 4)
    before = collect_texts(engine, [make_request("hello", temperature=0, max_tokens=5)])
    (scores,) = engine.score([ScoreRequest(prompt=Prompt(text="a"), candidates=(" b", " c"))])
    assert len(scores.totals) == 2
    assert collect_texts(engine, [make_request("hello", temperature=0, max_tokens=5)]) == before


def test_abandoned_stream_releases_everything(engines: Callable[..., LocalEngine]) -> None:
    engine = engines("plain", 4)
    events = engine.stream(
        [make_request(word, i, n=2, max_tokens=30) for i, word in enumerate(WORDS)]
    )
    for _ in range(9):
        next(events)
    events.close()
    assert_all_released(engine)


def test_request_cancelled_while_waiting_never_starts(
    engines: Callable[..., LocalEngine],
) -> None:
    cancellation = Cancellation()
    requests = [
        make_request(word, i, max_tokens=12, temperature=0) for i, word in enumerate(WORDS[:3])
    ]
    requests[2] = msgspec.structs.replace(requests[2], cancellation=cancellation)
    seen = []
    for event in engines("plain", 1).stream(requests):
        cancellation.cancel()
        seen.append((event.id, type(event)))
    assert (2, Failed) in seen
    assert (2, Token) not in seen


class FailingConstraint:
    """A constraint that allows as many tokens as its source says, and fails at the next one."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint, self.n = constraint, int(constraint.source)
        self.finished = False

    def start(self) -> FailingConstraint:
        return FailingConstraint(self.constraint)

    def allows(self, token: int) -> bool:
        self.n -= 1
        if self.n < 0:
            raise UsageError("too complex at this point")
        return True

    def forced_tokens(self) -> list[int]:
        return []

    def count_allowed(self, tokens: Sequence[int]) -> int:
        return len(tokens)

    def accept(self, token: int) -> None: ...
    def close(self) -> None: ...


def compile_failing(constraint: Constraint | None) -> FailingConstraint | None:
    return None if constraint is None else FailingConstraint(constraint)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("choices", [1, 3])
def test_constraint_that_fails_midway_does_not_affect_others(
    tiny: Path, n: int, choices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=4)
    monkeypatch.setattr(engine.model, "compile", compile_failing)
    failing = Constraint("regex", str(n))
    requests = [
        make_request("fox", 1, max_tokens=9, temperature=0),
        make_request("dog", 2, n=choices, max_tokens=9, temperature=0, constraint=failing),
        make_request("hello", 3, max_tokens=9, temperature=0),
    ]
    events = list(engine.stream(requests))
    assert [event.id for event in events if isinstance(event, Failed)] == [2]
    assert {event.id for event in events if isinstance(event, Finished)} >= {1, 3}
    assert_all_released(engine)
    engine.close()


def test_constrained_choices_equal_single_replies(
    engines: Callable[..., LocalEngine],
) -> None:
    constraint = Constraint("regex", "[a-c]{2}[x-z]{2}")
    sampling = {"temperature": 1.5, "max_tokens": 8, "constraint": constraint}
    together = collect_texts(
        engines("recurrent", 4), [make_request("hello", n=6, seed=3, **sampling)]
    )
    alone = [
        collect_texts(engines("recurrent", 4), [make_request("hello", seed=seed, **sampling)])[0, 0]
        for seed in range(3, 9)
    ]
    assert [together[0, i] for i in range(6)] == alone
    assert len(set(alone)) > 2


def test_late_request_does_not_wait_for_a_long_one(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=4)

    def source() -> Iterator[Request | None]:
        yield make_request("hello", 1, max_tokens=300, temperature=0)
        yield from [None] * 3
        yield make_request("fox", 2, max_tokens=4, temperature=0)

    ended = [event.id for event in engine.stream(source()) if isinstance(event, Finished)]
    assert ended == [2, 1]
    engine.close()


def count_decodes(engine: LocalEngine, requests: list[Request]) -> int:
    list(engine.stream(requests[:1]))
    assert engine.contexts.sequences is not None
    context, n = engine.contexts.sequences.context, 0
    decode = context.decode

    def counted() -> None:
        nonlocal n
        n += 1
        decode()

    context.decode = counted  # type: ignore[method-assign]
    list(engine.stream(requests))
    assert engine.contexts.sequences.context is context
    context.decode = decode  # type: ignore[method-assign]
    return n


def test_request_cancelled_before_it_starts_computes_nothing(tiny: Path) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    first = make_request("hello " * 300, 1, max_tokens=5, temperature=0)
    second = msgspec.structs.replace(make_request("fox " * 200, 2), cancellation=cancellation)
    engine = LocalEngine(load_model(tiny), n_threads=1, n_parallel=1)
    assert count_decodes(engine, [first, second]) == count_decodes(engine, [first])
    engine.close()


def test_cancellation_stops_a_prefill(tiny: Path) -> None:
    cancellation = Cancellation()
    engine = LocalEngine(load_model(tiny), n_threads=1)
    long = msgspec.structs.replace(
        make_request("fox " * 600, 1, max_tokens=5), cancellation=cancellation
    )
    n_batches = len(engine.tokenize(long.prompt).token_ids) // 512
    assert n_batches >= 2

    def source() -> Iterator[Request | None]:
        yield long
        yield None
        cancellation.cancel()

    events = list(engine.stream(source()))
    assert [type(event) for event in events] == [Failed]
    assert isinstance(events[0].error, Cancelled)
    assert_all_released(engine)
    engine.close()


@pytest.mark.parametrize(
    "bad",
    [
        Request(id=2, prompt=Prompt(text="")),
        Request(id=2, prompt=Prompt(text="a\ud800b")),
        make_request("a\ud800b", 2),
        make_request("hello", 2, constraint=Constraint("regex", "\ud800")),
        ScoreRequest(id=2, prompt=Prompt(text="hello"), candidates=("a\ud800",)),
    ],
    ids=["empty", "surrogate", "surrogate in chat", "surrogate in a constraint", "candidate"],
)
def test_invalid_text_does_not_affect_others(bad: Any, tiny_base: Path, tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny_base if bad.prompt.text == "" else tiny), n_threads=1)
    good = make_request("hello", 1, max_tokens=3)
    events = list(engine.stream([good, bad, msgspec.structs.replace(good, id=3)]))
    failed = [event.id for event in events if isinstance(event, Failed)]
    ended = {event.id for event in events if isinstance(event, Finished)}
    assert (failed, ended) in (([2], {1, 3}), ([], {1, 2, 3}))
    assert failed or bad.prompt.text == "", "an empty prompt has one token if there is a BOS"
    engine.close()


def test_similar_streams_share_a_context(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    contexts = set()
    for i in range(6):
        n, tokens = (8, 20) if i % 2 else (1, 600)
        list(
            engine.stream(
                [make_request("hello", j, max_tokens=tokens, stop=("e",)) for j in range(n)]
            )
        )
        contexts.add(engine.contexts.sequences)
    assert len(contexts) <= 2
    engine.close()


def test_choices_and_prefixes_wait_for_free_cells(
    tiny_model: Callable[..., Path],
) -> None:
    # The RoPE limit of the model prevents a context of more than 512 cells.
    metadata = {"llama.rope.scaling.original_context_length": 512}
    engine = LocalEngine(
        load_model(tiny_model("plain", metadata=metadata)), n_threads=1, n_parallel=8
    )
    shared = "the quick brown fox jumps over a lazy dog " * 3
    requests = [
        make_request((shared if i % 3 else "") + word, i, n=3, max_tokens=100, temperature=0)
        for i, word in enumerate(WORDS[:9])
    ]
    events = list(engine.stream(requests))
    assert [event.error for event in events if isinstance(event, Failed)] == []
    assert sum(isinstance(event, Finished) for event in events) == 27
    assert engine.info.n_cells == 512
    assert_all_released(engine)
    engine.close()


def test_failed_request_in_the_source_is_yielded_immediately(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    failed = Failed(7, UsageError("invalid record"))

    def requests() -> Iterator[Request | Failed | None]:
        yield failed
        while not seen:  # an open pipe without data
            yield None
        yield make_request("hello", id=8, max_tokens=2)

    seen: list[Any] = []
    for event in engine.stream(requests()):
        seen.append(event)
    engine.close()
    assert seen[0] is failed
    assert isinstance(seen[-1], Finished) and seen[-1].id == 8
