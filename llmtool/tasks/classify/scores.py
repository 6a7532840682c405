"""Requests for log-probabilities, answered together and in their order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import count

import msgspec

from llmtool.engine.types import Engine, Failed, ScoreRequest, Scores, Usage
from llmtool.errors import EngineError
from llmtool.tasks.pipeline.ordering import OrderedResults, closing_stream
from llmtool.tasks.pipeline.prepare import Case

Cases = Iterable[Case | Failed | None]


class Timed(msgspec.Struct, frozen=True):
    """Log-probabilities and the seconds from their request on."""

    scores: Scores
    seconds: float


def stream_scores(
    engine: Engine, requests: Iterable[ScoreRequest | Failed | None]
) -> Generator[Timed | Failed, None, None]:
    """Yield what the engine says of each request, in their order; they are read as needed."""
    results = OrderedResults[ScoreRequest, _Answer](requests, _Answer)
    with closing_stream(engine.score(results.requests())) as events:
        for event in events:
            if isinstance(event, Failed):
                results.fail(event)
            else:
                results.answer(event.id).end(event)
            for done in results.pop_complete():
                yield done if isinstance(done, Failed) else done.timed()
        if results:
            raise EngineError("the model was closed before the texts were classified")


def stream_groups(
    scores: Callable[[Cases], Generator[Timed | Failed, None, None]],
    cases: Cases,
    split: Callable[[Case], Sequence[Case]],
) -> Generator[tuple[int, list[Timed] | Failed], None, None]:
    """Yield the id of each case with the answers to all that it is split into, in their order.

    Args:
        scores: answers cases, in their order.
        split: what is asked of a case: one case at least, whose id does not matter.
    """
    waiting: deque[tuple[int, int]] = deque()  # ids of cases, and how many answers they get
    ids = count()

    def asked() -> Iterator[Case | Failed | None]:
        for case in cases:
            if case is None:
                yield None
            elif isinstance(case, Failed):
                waiting.append((case.id, 1))
                yield Failed(next(ids), case.error)
            else:
                parts = split(case)
                waiting.append((case.id, len(parts)))
                for part in parts:
                    yield msgspec.structs.replace(part, id=next(ids))

    answers: list[Timed] = []
    failure: Failed | None = None
    n_come = 0
    with closing(scores(asked())) as outcomes:
        for outcome in outcomes:
            n_come += 1
            if isinstance(outcome, Failed):
                failure = failure or outcome
            else:
                answers.append(outcome)
            id, n = waiting[0]
            if n_come == n:
                waiting.popleft()
                yield id, failure or answers
                answers, failure, n_come = [], None, 0


def total_usage(answers: Sequence[Timed]) -> Usage:
    """Return the tokens of several requests together."""
    usages = [each.scores.usage for each in answers]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
    )


class _Answer:
    """What has come for one request."""

    def __init__(self, request: ScoreRequest) -> None:
        self._began = time.perf_counter()
        self._timed: Timed | None = None

    def end(self, scores: Scores) -> None:
        self._timed = Timed(scores, time.perf_counter() - self._began)

    @property
    def is_complete(self) -> bool:
        return self._timed is not None

    def timed(self) -> Timed:
        assert self._timed is not None
        return self._timed
