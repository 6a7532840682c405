"""Jobs of several requests, many at once: what one asks next waits for nobody else's answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import count
from typing import Generic, Protocol, TypeVar

import msgspec

from llmtool.engine.types import Engine, Failed, Request, Token
from llmtool.errors import LlmtoolError
from llmtool.tasks.pipeline.collect import stream_outcomes
from llmtool.tasks.results import Generation

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[R_co]):
    """One piece of work: `begin` makes its first request; `take` answers a reply with the next
    request, or with the result. Whatever either raises as our own error is the job's failure.
    """

    @property
    def id(self) -> int: ...

    def begin(self) -> Request: ...

    def take(self, outcome: Generation | Failed) -> Request | R_co | Failed: ...


def work(
    engine: Engine, jobs: Iterable[Job[R] | Failed | None], *, model: str
) -> Generator[R | Failed, None, None]:
    """Yield the result of each job, or its failure, in the order of the jobs.

    Jobs are read as they are needed; `None` says that the next one is not there yet. The engine
    serves the requests of all of them together.
    """
    desk = _Desk(jobs)
    with closing(stream_outcomes(engine, desk.requests(), model=model)) as outcomes:
        for outcome in outcomes:
            if not isinstance(outcome, Token):
                desk.take(outcome)
                yield from desk.leave()


class _Desk(Generic[R]):
    """Who waits for which reply."""

    def __init__(self, jobs: Iterable[Job[R] | Failed | None]) -> None:
        self._jobs = iter(jobs)
        self._ids = count()
        self._next: deque[tuple[Job[R], Request]] = deque()
        self._asked: deque[Job[R] | Failed] = deque()  # in the order of the replies
        self._line: deque[int] = deque()
        self._done: dict[int, R | Failed] = {}
        self._is_drained = False

    def requests(self) -> Iterator[Request | Failed | None]:
        """Yield what to ask: next rounds first, then new jobs."""
        while True:
            if self._next:
                yield self._ask(*self._next.popleft())
            elif not self._is_drained:
                yield self._read()
            elif self._asked:
                yield None
            else:
                return

    def _read(self) -> Request | Failed | None:
        job = next(self._jobs, self)
        if job is None:
            return None
        if isinstance(job, _Desk):
            self._is_drained = True
            return None
        self._line.append(job.id)
        if isinstance(job, Failed):
            self._asked.append(job)
            return Failed(next(self._ids), job.error)
        try:
            return self._ask(job, job.begin())
        except LlmtoolError as exc:
            failed = Failed(job.id, exc)
            self._asked.append(failed)
            return Failed(next(self._ids), exc)

    def _ask(self, job: Job[R], request: Request) -> Request:
        self._asked.append(job)
        return msgspec.structs.replace(request, id=next(self._ids))

    def take(self, outcome: Generation | Failed) -> None:
        job = self._asked.popleft()
        if isinstance(job, Failed):
            self._done[job.id] = job
            return
        try:
            answer = job.take(outcome)
        except LlmtoolError as exc:
            answer = Failed(job.id, exc)
        if isinstance(answer, Request):
            self._next.append((job, answer))
        else:
            self._done[job.id] = answer

    def leave(self) -> Iterator[R | Failed]:
        """Yield what is done and has nobody before it."""
        while self._line and self._line[0] in self._done:
            yield self._done.pop(self._line.popleft())
