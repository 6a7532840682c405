"""Requests under way: read as they are needed, answered in any order, left in their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from llmtool.engine.types import Failed

# How many requests may be under way, so that one long reply does not make the results behind it
# pile up; more than any engine runs at once.
MAX_AHEAD = 256


class _Identified(Protocol):
    @property
    def id(self) -> int: ...


class _Answer(Protocol):
    """What has come for one request."""

    @property
    def is_complete(self) -> bool: ...


R = TypeVar("R", bound=_Identified)
A = TypeVar("A", bound=_Answer)


class OrderedResults(Generic[R, A]):
    """The line of requests between a source and an engine.

    `read` is what the engine gets: it hands on the source's requests, its `None` (nothing there
    yet) and its `Failed`. `begin` makes the answer of a request; `leave` yields the answers that
    are complete and have nobody before them. Ids of requests under way differ.
    """

    def __init__(self, requests: Iterable[R | Failed | None], begin: Callable[[R], A]) -> None:
        self._requests, self._begin = requests, begin
        self._line: deque[tuple[int, A | None]] = deque()
        self._answers: dict[int, A] = {}
        self._failed: dict[int, Failed] = {}

    def read(self) -> Iterator[R | Failed | None]:
        for request in self._requests:
            while len(self._line) >= MAX_AHEAD:
                yield None
            if request is not None:
                answer = None if isinstance(request, Failed) else self._begin(request)
                if answer is not None:
                    self._answers[request.id] = answer
                self._line.append((request.id, answer))
            yield request

    def __len__(self) -> int:
        return len(self._line)

    def answer(self, id: int) -> A:
        return self._answers[id]

    def fail(self, event: Failed) -> None:
        self._failed[event.id] = event

    def leave(self) -> Iterator[A | Failed]:
        """Yield what is done at the head of the line."""
        while self._line:
            id, answer = self._line[0]
            failed = self._failed.pop(id, None)
            if failed is None and (answer is None or not answer.is_complete):
                return
            self._line.popleft()
            self._answers.pop(id, None)
            if failed is not None:
                yield failed
            elif answer is not None:
                yield answer
