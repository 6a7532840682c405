"""Return results in request order, although the engine completes requests in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from llmtool.engine.types import Failed
from llmtool.errors import Cancelled

# Maximum number of unfinished requests, which bounds how many results wait for one long reply.
# Higher than the number of requests that any engine runs at once.
MAX_AHEAD = 256


class _Identified(Protocol):
    @property
    def id(self) -> int: ...


class _Answer(Protocol):
    @property
    def is_complete(self) -> bool: ...


E = TypeVar("E")
R = TypeVar("R", bound=_Identified)
A = TypeVar("A", bound=_Answer)


class OrderedResults(Generic[R, A]):
    """The unfinished requests of one engine stream, in order, and their answers so far.

    Pass `requests()` to the engine, add its events to `answer(id)` or `fail`, and read complete
    answers from `pop_complete()`, and after a stop the others from `cancel()`. Requests are read
    only as the engine needs them; `None` (not available yet) and `Failed` among them are passed on.
    Ids of unfinished requests must differ.

    Args:
        make_answer: returns an empty answer for a request.
    """

    def __init__(
        self, requests: Iterable[R | Failed | None], make_answer: Callable[[R], A]
    ) -> None:
        self._requests, self._make_answer = requests, make_answer
        self._order: deque[int] = deque()
        self._answers: dict[int, A] = {}
        self._failed: dict[int, Failed] = {}

    def __len__(self) -> int:
        return len(self._order)

    def requests(self) -> Iterator[R | Failed | None]:
        for request in self._requests:
            while len(self._order) >= MAX_AHEAD:
                yield None
            if request is not None:
                self._order.append(request.id)
                if not isinstance(request, Failed):
                    self._answers[request.id] = self._make_answer(request)
            yield request

    def answer(self, id: int) -> A:
        return self._answers[id]

    def find(self, id: int) -> A | None:
        return self._answers.get(id)

    def fail(self, event: Failed) -> None:
        self._failed[event.id] = event

    def pop_complete(self) -> Iterator[A | Failed]:
        """Yield and remove the complete answers at the head of the queue."""
        while self._order and (found := self._outcome(self._order[0])) is not None:
            self._answers.pop(self._order.popleft(), None)
            yield found

    def cancel(self, error: Cancelled) -> Iterator[A | Failed]:
        """Yield and remove all answers after a stop; unfinished requests fail with the error."""
        while self._order:
            id = self._order.popleft()
            yield self._outcome(id) or Failed(id, error)
            self._answers.pop(id, None)

    def _outcome(self, id: int) -> A | Failed | None:
        """Return the answer or failure of a request, None if it is unfinished."""
        answer = self._answers.get(id)
        failed = self._failed.pop(id, None)
        return failed or (answer if answer is not None and answer.is_complete else None)


@contextmanager
def closing_stream(events: Iterator[E]) -> Generator[Iterator[E], None, None]:
    """Close an engine's stream on exit; the engine is busy until then."""
    try:
        yield events
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
