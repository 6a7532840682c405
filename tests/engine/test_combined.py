"""Streams, prefix cache, drafts, adapters, choices, echo, scores and cancellation together.

Each memory kind runs random requests whose prompts begin with one another. Log-probabilities are
compared with those of the request alone, on another engine without drafts or cache. Flash attention
adds in half precision, so that they differ a little, and near ties tokens differ, too.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.released import assert_all_released, assert_consistent
from engine.test_draft import NoCosts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_adapter import write_tiny_adapter

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.types import (
    Adapter,
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
)
from llmtool.errors import Cancelled
from llmtool.structured.constraint import Constraint

KINDS = ["plain", "swa", "recurrent", "hybrid"]
CACHE_BYTES = {1: 0, 3: 200_000, 12: 1 << 30}  # by the number of parallel sequences
_random = random.Random(1)
_parts = ["".join(_random.choices("qzwkfox ", k=160)) for _ in range(4)]
TEXTS = [_parts[0] + _parts[1], _parts[0] + _parts[2], _parts[3] + _parts[1]]
TOLERANCE = 0.1

Engines = Callable[[str, int], LocalEngine]


class Costs:
    """Makes separate streams better than a pool, or worse."""

    def __init__(self, *, favours_streams: bool) -> None:
        self._streams = 0.0 if favours_streams else 2.0

    def pool(self, *_: Any, **__: Any) -> float:
        return 1.0

    def streams(self, *_: Any, **__: Any) -> float:
        return self._streams


@pytest.fixture(scope="module")
def engines(tiny_model: Callable[..., Path]) -> Iterator[Engines]:
    """Return `get(kind, n_parallel)`, which makes each engine once; 0 runs requests alone."""
    made: dict[tuple[str, int], LocalEngine] = {}

    def get(kind: str, n_parallel: int) -> LocalEngine:
        if (kind, n_parallel) not in made:
            path = tiny_model(kind, printable=True, float32=True)
            can_draft = n_parallel and kind in ("plain", "swa")
            engine = made[kind, n_parallel] = LocalEngine(
                load_model(path),
                n_threads=1,
                n_parallel=n_parallel or 1,
                cache_bytes=CACHE_BYTES.get(n_parallel, 0),
                draft="auto" if n_parallel else "off",
                load_draft=(lambda: load_model(path)) if can_draft else None,
            )
            if engine.model.speculation is not None:
                engine.model.speculation.costs = NoCosts(is_cautious=True)
        return made[kind, n_parallel]

    yield get
    for engine in made.values():
        engine.close()


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Adapter]]:
    """Return `get(kind)`: two adapters for models of this kind."""
    folder = tmp_path_factory.mktemp("adapters")

    def get(kind: str) -> list[Adapter]:
        paths = [folder / f"{kind}-{seed}.gguf" for seed in (1, 2)]
        for seed, path in enumerate(paths, 1):
            if not path.exists():
                write_tiny_adapter(path, kind, seed=seed)
        return [Adapter(str(path)) for path in paths]

    return get


@pytest.fixture(scope="module")
def samplers() -> Iterator[weakref.WeakSet[Sampler]]:
    """Return all samplers that are made from now on."""
    made: weakref.WeakSet[Sampler] = weakref.WeakSet()
    init = Sampler.__init__

    def watch(self: Sampler, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        made.add(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampler, "__init__", watch)
        yield made


class Case(msgspec.Struct, frozen=True):
    """A request that is cancelled after `cancel_after` events and arrives `delay` polls late."""

    request: Request | ScoreRequest
    cancel_after: int | None
    delay: int


@st.composite
def prompts(draw: st.DrawFn, adapters: list[Adapter]) -> Prompt:
    text = draw(st.sampled_from(TEXTS))
    # At common lengths one prompt is often the beginning of another one.
    n_tokens = draw(st.sampled_from([20, 100, 150, 151, 200]) | st.integers(1, 300))
    end = draw(st.sampled_from(["", "", "k", "hello there"]))
    one, two = adapters
    chosen = draw(st.sampled_from([(), (), (), (one,), (one, Adapter(two.path, 0.5))]))
    n_fixed = draw(st.none() | st.sampled_from([80, 140]))
    return Prompt(
        token_ids=tuple((text[:n_tokens] + end).encode()), adapters=chosen, n_fixed=n_fixed
    )


@st.composite
def cases(draw: st.DrawFn, adapters: list[Adapter]) -> Case:
    prompt = draw(prompts(adapters))
    request: Request | ScoreRequest
    if draw(st.integers(0, 7)) == 0:
        candidates = draw(st.sampled_from([("a", "bc"), ("aa", "aab", "b", "ccc")]))
        request = ScoreRequest(prompt=prompt, candidates=candidates, end=draw(st.booleans()))
    else:
        echo = draw(st.integers(0, 4)) == 0
        max_tokens = draw(st.integers(0 if echo else 1, 14))
        constraint = draw(st.sampled_from(["", "", "", "[a-z ]{3,9}", '\\{"name": "[a-z]+"\\}']))
        sampling = Sampling(
            temperature=draw(st.sampled_from([0, 0, 0.8])),
            seed=draw(st.integers(0, 3)),
            max_tokens=max_tokens,
            logprobs=1,
            repeat_penalty=draw(st.sampled_from([1.0, 1.0, 1.2])),
            stop=tuple(draw(st.lists(st.sampled_from(["e", "qz", "k"]), max_size=1))),
            constraint=Constraint("regex", constraint) if constraint and max_tokens else None,
        )
        n = draw(st.sampled_from([1, 1, 1, 1, 3]))
        request = Request(
            prompt=prompt, sampling=sampling, n=n, echo=echo, keep=draw(st.booleans())
        )
    return Case(request, draw(st.none() | st.none() | st.integers(0, 40)), draw(st.integers(0, 2)))


class Replies(msgspec.Struct):
    """What a stream has yielded, by request: tokens, scores and errors."""

    prompts: dict[int, list[Any]] = {}
    tokens: dict[tuple[int, int], list[Any]] = {}
    ends: dict[tuple[int, int], Finished] = {}
    scores: dict[int, Scores] = {}
    errors: dict[int, Exception] = {}

    def add(self, event: Any) -> None:
        assert event.id not in self.errors, "no event after a failure"
        if isinstance(event, Failed):
            self.errors[event.id] = event.error
        elif isinstance(event, Scores):
            self.scores[event.id] = event
        else:
            assert (event.id, event.choice) not in self.ends, "no event after the end"
            if isinstance(event, Finished):
                self.ends[event.id, event.choice] = event
            elif event.prompt_logprob is not None:
                self.prompts.setdefault(event.id, []).append(event.prompt_logprob)
            elif event.logprob is not None:
                self.tokens.setdefault((event.id, event.choice), []).append(event.logprob)


def run(engine: LocalEngine, plan: list[Case], *, n_max: int | None = None) -> Replies:
    """Run the requests of a plan, with its delays and cancellations, up to `n_max` events."""
    requests = [
        msgspec.structs.replace(case.request, id=i, cancellation=Cancellation())
        for i, case in enumerate(plan)
    ]

    def arrive() -> Iterator[Any]:
        for case, request in zip(plan, requests, strict=True):
            yield from [None] * case.delay
            yield request

    replies, events = Replies(), engine.stream(arrive())
    for n_events, event in enumerate(events):
        replies.add(event)
        for case, request in zip(plan, requests, strict=True):
            if case.cancel_after == n_events and request.cancellation:
                request.cancellation.cancel()
        if n_events == n_max:
            break
    events.close()
    return replies


def assert_equal_logprobs(found: list[Any], expected: list[Any]) -> None:
    """Compare log-probabilities up to the first token that differs near a tie."""
    for one, other in zip(found, expected, strict=False):
        if one.token != other.token:
            return
        if one.logprob is None:
            assert other.logprob is None
        else:
            assert one.logprob == pytest.approx(other.logprob, abs=TOLERANCE)
    assert len(found) == len(expected)


def assert_equal_to_alone(alone: LocalEngine, plan: list[Case], replies: Replies) -> None:
    for i, case in enumerate(plan):
        if i in replies.errors:
            assert isinstance(replies.errors[i], Cancelled), replies.errors[i]
            assert case.cancel_after is not None
            continue
        alone.contexts.close()  # nothing is cached
        expected = run(alone, [Case(case.request, None, 0)])
        assert not expected.errors
        if isinstance(case.request, ScoreRequest):
            found = replies.scores[i]
            for one, other in zip(found.logprobs, expected.scores[0].logprobs, strict=True):
                assert one == pytest.approx(other, abs=TOLERANCE)
            continue
        assert_equal_logprobs(replies.prompts.get(i, []), expected.prompts.get(0, []))
        for choice in range(case.request.n):
            end = replies.ends[i, choice]
            assert 0 <= end.usage.cached_tokens <= end.usage.prompt_tokens
            assert end.seed == (case.request.sampling.seed or 0) + choice
            tokens = expected.tokens.get((0, choice), [])
            assert_equal_logprobs(replies.tokens.get((i, choice), []), tokens)


def check_streams(
    data: st.DataObject,
    engine: LocalEngine,
    alone: LocalEngine,
    adapters: list[Adapter],
    *,
    max_requests: int,
) -> None:
    engine.contexts.close()  # an example must not depend on those before
    planner: Any = engine.contexts._planner
    for _ in range(data.draw(st.integers(1, 3), "streams")):
        planner.max_cells = data.draw(st.sampled_from([None, None, 512]), "cells")
        planner.__dict__["_attention_cost"] = Costs(favours_streams=data.draw(st.booleans()))
        plan = data.draw(st.lists(cases(adapters), min_size=1, max_size=max_requests), "plan")
        n_max = data.draw(st.none() | st.none() | st.integers(0, 30), "events")
        replies = run(engine, plan, n_max=n_max)
        if engine.contexts.sequences is not None:
            assert_consistent(engine.contexts.sequences)
        assert engine.contexts.cache.size_bytes <= engine.contexts.cache.limit_bytes
        if n_max is None:
            assert_equal_to_alone(alone, plan, replies)
    assert_all_released(engine)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), n_parallel=st.sampled_from(list(CACHE_BYTES)))
def test_any_requests_get_the_same_replies_as_alone(
    kind: str,
    engines: Engines,
    adapters: Callable[[str], list[Adapter]],
    samplers: weakref.WeakSet[Sampler],
    data: st.DataObject,
    n_parallel: int,
) -> None:
    check_streams(data, engines(kind, n_parallel), engines(kind, 0), adapters(kind), max_requests=6)
    assert all(each._chain is None or each._is_shared for each in samplers)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), n_parallel=st.sampled_from(list(CACHE_BYTES)))
def test_any_requests_get_the_same_replies_as_alone_long(
    kind: str,
    engines: Engines,
    adapters: Callable[[str], list[Adapter]],
    samplers: weakref.WeakSet[Sampler],
    data: st.DataObject,
    n_parallel: int,
) -> None:
    check_streams(
        data, engines(kind, n_parallel), engines(kind, 0), adapters(kind), max_requests=16
    )
    assert all(each._chain is None or each._is_shared for each in samplers)
