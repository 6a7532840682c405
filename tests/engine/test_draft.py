"""Speculative decoding: drafts change the number of steps, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.released import assert_all_released
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool.cancellation import Cancellation
from llmtool.engine.llama import draft_model
from llmtool.engine.llama.draft import Draft, Drafter, Speculation, StepCosts, best_length
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.prompt_lookup import PromptLookup
from llmtool.engine.types import (
    DraftMode,
    Event,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
)
from llmtool.errors import EngineError
from llmtool.structured.constraint import Constraint

KINDS = ["plain", "spm", "base", "swa"]
WORDS = "the quick brown fox jumps over a lazy dog and hello there how are you".split()


class NoCosts(StepCosts):
    """A step takes the same time for any number of tokens, so that all drafts are verified."""

    def of(self, n_tokens: int) -> float:
        return 1.0


def make_engine(
    path: Path, draft: DraftMode = "auto", *, draft_model: Path | None = None, n_parallel: int = 4
) -> LocalEngine:
    engine = LocalEngine(
        load_model(path),
        n_threads=1,
        n_parallel=n_parallel,
        draft=draft,
        load_draft=draft_model and (lambda: load_model(draft_model)),
    )
    if engine.model.speculation is not None:
        engine.model.speculation.costs = NoCosts(is_cautious=True)
    return engine


def n_accepted(engine: LocalEngine) -> int:
    assert engine.model.speculation is not None
    return engine.model.speculation.n_accepted


@pytest.fixture(scope="module")
def engines(tiny_model: Callable[..., Path]) -> Iterator[Callable[..., LocalEngine]]:
    """Return `get(kind, drafts, n_parallel)`; a tiny model that drafts is right in most cases."""
    made: dict[tuple[str, bool, int], LocalEngine] = {}

    def get(kind: str, drafts: bool, n_parallel: int = 4) -> LocalEngine:
        key = kind, drafts, n_parallel
        if key not in made:
            # Attention adds in half precision, and sampling would show the rounding.
            weak = {"attention_gain": 0.02} if kind == "weak attention" else {}
            path = tiny_model("plain" if weak else kind, float32=True, **weak)
            made[key] = make_engine(
                path,
                "auto" if drafts else "off",
                draft_model=path if drafts else None,
                n_parallel=n_parallel,
            )
        return made[key]

    yield get
    for engine in made.values():
        engine.close()


def prompt(text: str, kind: str) -> Prompt:
    return Prompt(text=text) if kind == "base" else Prompt(messages=(Message("user", text),))


def reply(engine: LocalEngine, request: Request) -> list[Event]:
    """Return the events of a request, without times, and with log-probabilities rounded."""
    events = []
    for event in engine.stream([request]):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            zero = msgspec.structs.replace(
                event.timings, prefill_seconds=0.0, decode_seconds=0.0, first_token_at=0.0
            )
            usage = msgspec.structs.replace(
                event.usage, cached_tokens=0, drafted_tokens=0, accepted_tokens=0
            )
            event = msgspec.structs.replace(event, timings=zero, usage=usage)
        if isinstance(event, Token) and event.logprob is not None:
            assert len(event.logprob.top) == 3
            rounded = round(event.logprob.logprob or 0.0, 1) + 0.0
            logprob = msgspec.structs.replace(event.logprob, logprob=rounded, top=())
            event = msgspec.structs.replace(event, logprob=logprob)
        events.append(event)
    return events


OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 0.6, "seed": 3},
    "penalties": {"temperature": 0.5, "seed": 1, "repeat_penalty": 1.3, "dry_multiplier": 0.8},
    "log-probabilities": {"temperature": 0, "logprobs": 3},
    "stop string": {"temperature": 0, "stop": ("e",)},
    "constraint": {"temperature": 0.7, "seed": 5, "constraint": Constraint("regex", "[a-z ]*")},
    "forced text": {
        "temperature": 0,
        "constraint": Constraint("regex", '\\{"identifier": [0-9]{3}, "description": "[a-z]+"\\}'),
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_events_are_the_same_with_drafts(
    kind: str, options: dict[str, Any], engines: Callable[..., LocalEngine]
) -> None:
    drafting = engines(kind, True)
    before = n_accepted(drafting)
    request = Request(
        prompt=prompt("the quick brown fox", kind),
        sampling=Sampling(**{"max_tokens": 60, **options}),
    )
    assert reply(drafting, request) == reply(engines(kind, False), request)
    if "stop" not in options:
        assert n_accepted(drafting) > before
    assert_all_released(drafting)


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_is_the_same_with_drafts(
    kind: str, engines: Callable[..., LocalEngine]
) -> None:
    sampling = Sampling(temperature=0.7, seed=2, max_tokens=24)
    request = Request(prompt=prompt("hello there", kind), sampling=sampling, n=3)

    def texts(engine: LocalEngine) -> dict[int, str]:
        found: dict[int, str] = {}
        for event in reply(engine, request):
            if isinstance(event, Token):
                found[event.choice] = found.get(event.choice, "") + event.text
        return found

    assert texts(engines(kind, True, 1)) == texts(engines(kind, False, 1))
    assert_all_released(engines(kind, True, 1))


def test_repeated_text_takes_fewer_steps(tiny_model: Callable[..., Path]) -> None:
    constraint = Constraint("regex", "(the quick brown fox jumps over a lazy dog; ){8}")
    request = Request(
        prompt=prompt("the quick brown fox jumps over a lazy dog; " * 2, "plain"),
        sampling=Sampling(temperature=0, max_tokens=400, constraint=constraint),
    )
    steps, replies = [], []
    for mode in ("off", "auto"):
        engine = make_engine(tiny_model("plain", float32=True), mode)
        list(engine.stream([request]))
        assert engine.contexts.sequences is not None
        context, n_steps = engine.contexts.sequences.context, 0
        decode = context.decode

        def count(decode: Callable[[], None] = decode) -> None:
            nonlocal n_steps
            n_steps += 1
            decode()

        context.decode = count  # type: ignore[method-assign]
        replies.append(reply(engine, request))
        steps.append(n_steps)
        engine.close()
    assert replies[0] == replies[1]
    assert steps[1] < steps[0] / 3


def test_conversation_continues_after_a_draft(engines: Callable[..., LocalEngine]) -> None:
    sampling = Sampling(temperature=0, max_tokens=25)

    def turns(engine: LocalEngine) -> list[Event]:
        messages: tuple[Message, ...] = ()
        events: list[Event] = []
        for text in ("hello there", "how are you", "the lazy dog"):
            messages = (*messages, Message("user", text))
            new = reply(
                engine, Request(prompt=Prompt(messages=messages), sampling=sampling, keep=True)
            )
            said = "".join(event.text for event in new if isinstance(event, Token))
            messages = (*messages, Message("assistant", said))
            events += new
        return events

    assert turns(engines("plain", True, 2)) == turns(engines("plain", False, 2))


@pytest.mark.parametrize("kind", ["recurrent", "hybrid"])
def test_memory_that_cannot_be_truncated_has_no_drafts(
    kind: str, tiny_model: Callable[..., Path]
) -> None:
    engine = make_engine(tiny_model(kind), "ngram")
    assert engine.model.speculation is None
    engine.close()


def test_reproducible_results_have_no_drafts(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), draft="ngram", reproducible=True)
    assert engine.model.speculation is None
    engine.close()


@pytest.mark.parametrize(
    ("kind", "reason"), [("spm", "its vocabulary is not that of"), ("recurrent", "cannot draft")]
)
def test_unsuitable_draft_model_fails_the_request(
    tiny_model: Callable[..., Path], kind: str, reason: str
) -> None:
    engine = make_engine(tiny_model("plain"), "ngram", draft_model=tiny_model(kind))
    with pytest.raises(EngineError, match=reason):
        reply(engine, Request(prompt=prompt("hello", "plain")))
    engine.close()


def test_draft_model_without_memory_drafts_nothing(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_model("plain", float32=True)
    request = Request(
        prompt=prompt("hello", "plain"), sampling=Sampling(temperature=0, max_tokens=12)
    )
    plain, engine = make_engine(path, "off"), make_engine(path, "ngram", draft_model=path)
    tried = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise EngineError("no memory")

    monkeypatch.setattr(draft_model, "Context", fail)
    assert reply(engine, request) == reply(plain, request)
    assert tried == [1]
    plain.close()
    engine.close()


class Case(msgspec.Struct, frozen=True):
    """A request that is cancelled after `cancel_after` events."""

    request: Request
    cancel_after: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    constraint = draw(st.sampled_from([None, None, "[a-z ]{3,30}", '\\{"name": "[a-z]+"\\}']))
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
    sampling = Sampling(
        temperature=draw(st.sampled_from([0, 0.7])),
        seed=draw(st.integers(0, 5)),
        max_tokens=draw(st.integers(1, 40)),
        repeat_penalty=draw(st.sampled_from([1.0, 1.2])),
        stop=tuple(draw(st.lists(st.sampled_from(["e", " t", "the"]), max_size=1))),
        constraint=constraint and Constraint("regex", constraint),
    )
    request = Request(
        prompt=prompt(" ".join(words), "plain"),
        sampling=sampling,
        n=draw(st.sampled_from([1, 1, 1, 3])),
    )
    return Case(request, draw(st.none() | st.integers(0, 40)))


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(plan=st.lists(cases(), min_size=1, max_size=6), n_parallel=st.sampled_from([1, 4]))
def test_stream_with_drafts(
    engines: Callable[..., LocalEngine], plan: list[Case], n_parallel: int
) -> None:
    """Replies of single sequences are the same as without drafts; all memory is free again."""
    check_a_stream(engines, plan, n_parallel)


@pytest.mark.long
@settings(max_examples=800, deadline=None, suppress_health_check=SLOW)
@given(plan=st.lists(cases(), min_size=1, max_size=20), n_parallel=st.sampled_from([1, 2, 4]))
def test_stream_with_drafts_long(
    engines: Callable[..., LocalEngine], plan: list[Case], n_parallel: int
) -> None:
    check_a_stream(engines, plan, n_parallel)


def check_a_stream(engines: Callable[..., LocalEngine], plan: list[Case], n_parallel: int) -> None:
    requests = [
        msgspec.structs.replace(case.request, id=i, cancellation=Cancellation())
        for i, case in enumerate(plan)
    ]
    texts: dict[tuple[int, int], str] = {}
    ended: set[tuple[int, int]] = set()
    failed: set[int] = set()
    engine = engines("weak attention", True, n_parallel)
    engine.contexts.close()  # rounding depends on which cells were used before
    for n_events, event in enumerate(engine.stream(requests)):
        assert event.id not in failed
        if isinstance(event, Failed):
            assert plan[event.id].cancel_after is not None, event.error
            failed.add(event.id)
        elif isinstance(event, Token):
            assert (event.id, event.choice) not in ended
            key = event.id, event.choice
            texts[key] = texts.get(key, "") + event.text
        elif isinstance(event, Finished):
            ended.add((event.id, event.choice))
        for case, request in zip(plan, requests, strict=True):
            if case.cancel_after == n_events and request.cancellation:
                request.cancellation.cancel()
    assert_all_released(engine)
    for i, case in enumerate(plan):
        if i not in failed:
            assert {(i, choice) for choice in range(case.request.n)} <= ended
    # Rounding also depends on the cells of other sequences, and on which prefix was cached.
    if n_parallel == 1 and not failed:
        plain = engines("weak attention", False, 1)
        plain.contexts.close()
        expected: dict[tuple[int, int], str] = {}
        for event in plain.stream(
            [msgspec.structs.replace(r, cancellation=None) for r in requests]
        ):
            if isinstance(event, Token):
                key = event.id, event.choice
                expected[key] = expected.get(key, "") + event.text
        assert_all_released(plain)
        assert texts == expected


def test_lookup_finds_the_longest_match() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3])
    assert (lookup.n_matched, lookup.predict(2)) == (3, [4, 9])
    lookup.append(5)  # as after the shorter match
    assert (lookup.n_matched, lookup.predict(2)) == (3, [1, 2])


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 60))
def test_lookup_finds_a_match_of_two_tokens_or_more(tokens: list[int], n_prompt: int) -> None:
    lookup = PromptLookup(tokens[:n_prompt])
    for token in tokens[n_prompt:]:
        lookup.append(token)
    pairs = list(zip(tokens, tokens[1:], strict=False))
    assert (lookup.n_matched >= 2) == (bool(pairs) and pairs[-1] in pairs[:-1])
    assert len(lookup.predict(7)) == (7 if lookup.n_matched else 0)


def test_chances_follow_how_often_matches_were_right() -> None:
    lookup = PromptLookup(list(range(100)))
    for token in range(60):
        lookup.append(token)
    (right,) = lookup.chances(1)
    for token in [1000, 10, 11] * 20:  # matches of two tokens that are always wrong
        lookup.append(token)
    assert lookup.n_matched
    assert lookup.chances(1)[0] < right


COSTS = {1: 1.0, 2: 1.9, 4: 2.4, 8: 3.5, 12: 5.0, 16: 6.0}


def costs_of(seconds: dict[int, float], *, is_cautious: bool) -> StepCosts:
    costs = StepCosts(is_cautious=is_cautious)
    for n_tokens, each in seconds.items():
        for _ in range(5):
            costs.add(n_tokens, each)
    return costs


@pytest.mark.parametrize(
    ("chance", "n_tokens"), [(0.3, 0), (0.7, 0), (0.9, 7), (0.99, 15)], ids=str
)
def test_draft_is_as_long_as_it_pays(chance: float, n_tokens: int) -> None:
    chances = [chance**n for n in range(1, 16)]
    assert best_length(chances, costs_of(COSTS, is_cautious=False)) == n_tokens


def test_cautious_costs_are_never_lower_than_assumed() -> None:
    assumed = StepCosts(is_cautious=True).of(8)
    assert costs_of({1: 1.0, 8: 2.0}, is_cautious=True).of(8) == assumed
    assert costs_of({1: 1.0, 8: 2.0}, is_cautious=False).of(8) == 2.0
    assert costs_of({1: 1.0, 8: 7.9}, is_cautious=True).of(8) == 7.9


def test_drafts_stop_where_a_batch_takes_as_long_as_its_tokens() -> None:
    speculation = Speculation(is_cautious=True)
    speculation.costs = costs_of({1: 1.0, 4: 4.0, 8: 8.0, 12: 12.0, 16: 16.0}, is_cautious=True)
    draft = Draft([7] * 15, [0.99**n for n in range(1, 16)])
    assert speculation.choose([draft], n_running=1, n_rows=16) == [0]


def test_rows_are_shared_among_replies_by_chance() -> None:
    speculation = Speculation(is_cautious=True)
    speculation.costs = NoCosts(is_cautious=True)
    likely, unlikely = (Draft([7] * 4, [chance] * 4) for chance in (0.9, 0.2))
    assert speculation.choose([unlikely, likely], n_running=2, n_rows=7) == [1, 4]


def test_wrong_drafts_cost_a_reply_little() -> None:
    speculation = Speculation(is_cautious=True)
    drafter = Drafter(speculation, range(500))
    cost, n_tokens = 0.0, 400
    for n in range(n_tokens):
        draft = drafter.propose(range(n), [], limit=15, n_running=1)
        (length,) = speculation.choose([draft], n_running=1, n_rows=16)
        if length:  # as if all were wrong, although the prompt is repeated
            drafter.count(n_drafted=length, n_accepted=0)
            cost += speculation.costs.of(1 + length) - 1
    assert 0 < cost < 0.03 * n_tokens


def test_wrong_draft_model_is_asked_rarely() -> None:
    asked: list[int] = []

    class WrongModel:
        def cost_per_token(self, target_seconds: float) -> float:
            return 0.1

        def predict(self, reply: object, tokens: tuple[int, ...], n: int) -> list[int]:
            asked.append(len(tokens))
            return [0] * n

    speculation = Speculation(is_cautious=False)
    speculation.model = WrongModel()  # type: ignore[assignment]
    speculation.costs = costs_of(COSTS, is_cautious=False)
    drafter = Drafter(speculation, [1])
    for n in range(400):
        draft = drafter.propose(range(2, 2 + n), [], limit=15, n_running=1)
        (length,) = speculation.choose([draft], n_running=1, n_rows=16)
        if length:
            drafter.count(n_drafted=length, n_accepted=0)
    assert 0 < len(asked) < 20
