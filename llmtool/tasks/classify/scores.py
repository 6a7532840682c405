"""Score many requests in one engine stream, and yield the scores in the order of the cases."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import count

import msgspec

from llmtool.engine.types import Engine, Failed, ScoreRequest, Scores
from llmtool.errors import Cancelled, EngineError, LlmtoolError
from llmtool.tasks.pipeline.duplicates import answer_once, score_key
from llmtool.tasks.pipeline.ordering import OrderedResults, closing_stream
from llmtool.tasks.pipeline.prepare import Case


class ScoredRequest(msgspec.Struct, frozen=True):
    """The label scores of one request, and how long they took."""

    scores: Scores
    seconds: float


def stream_scores(
    engine: Engine, requests: Iterable[ScoreRequest | Failed | None]
) -> Generator[ScoredRequest | Failed, None, None]:
    """Yield the scores of each request, in request order; requests are read as needed.

    Equal requests are scored once.
    """
    return answer_once(
        requests, lambda each: _stream(engine, each), key=score_key, kind=ScoredRequest
    )


def _stream(
    engine: Engine, requests: Iterable[ScoreRequest | Failed | None]
) -> Generator[ScoredRequest | Failed, None, None]:
    results = OrderedResults[ScoreRequest, _PendingScores](requests, _PendingScores)
    with closing_stream(engine.score(results.requests())) as events:
        try:
            for event in events:
                if isinstance(event, Failed):
                    results.fail(event)
                else:
                    results.answer(event.id).end(event)
                for done in results.pop_complete():
                    yield done if isinstance(done, Failed) else done.result()
        except Cancelled as exc:
            for done in results.cancel(exc):
                yield done if isinstance(done, Failed) else done.result()
            raise
        if results:
            raise EngineError("the model was closed before all texts were classified")


def stream_groups(
    engine: Engine,
    cases: Iterable[Case | Failed | None],
    make_requests: Callable[[Case], Sequence[ScoreRequest]],
) -> Generator[tuple[int, list[ScoredRequest] | Failed], None, None]:
    """Yield the id of each case and the scores of all its requests, in order.

    Args:
        make_requests: returns the requests of a case, at least one; their ids are replaced. If it
            raises an `LlmtoolError`, only that case fails.
    """
    waiting: deque[tuple[int, int]] = deque()  # the id of a case, and its number of requests

    def requests() -> Iterator[ScoreRequest | Failed | None]:
        ids = count()
        for case in cases:
            if case is None:
                yield None
                continue
            group: Sequence[ScoreRequest | Failed]
            try:
                group = make_requests(case) if isinstance(case, Case) else [case]
            except LlmtoolError as exc:
                group = [Failed(case.id, exc)]
            waiting.append((case.id, len(group)))
            for request in group:
                yield msgspec.structs.replace(request, id=next(ids))

    scored: list[ScoredRequest] = []
    failure: Failed | None = None
    n_received = 0
    with closing(stream_scores(engine, requests())) as outcomes:
        for outcome in outcomes:
            n_received += 1
            if isinstance(outcome, Failed):
                failure = failure or outcome
            else:
                scored.append(outcome)
            id, n = waiting[0]
            if n_received == n:
                waiting.popleft()
                yield id, failure or scored
                scored, failure, n_received = [], None, 0


class _PendingScores:
    """The pending or complete scores of one request."""

    def __init__(self, request: ScoreRequest) -> None:
        self._started = time.perf_counter()
        self._result: ScoredRequest | None = None

    def end(self, scores: Scores) -> None:
        self._result = ScoredRequest(scores, time.perf_counter() - self._started)

    @property
    def is_complete(self) -> bool:
        return self._result is not None

    def result(self) -> ScoredRequest:
        assert self._result is not None
        return self._result
