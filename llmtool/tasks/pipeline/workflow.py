"""Works of several requests each, some of which wait for replies to others, decoded together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from llmtool.engine.types import Engine, Failed, Finished, FinishReason, Request, Token, Usage
from llmtool.errors import Cancelled, EngineError, LlmtoolError
from llmtool.tasks.pipeline.ordering import MAX_AHEAD

N = TypeVar("N")  # what a work tells while it is under way


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a work; `about` is what it is for, `is_live` whether its tokens are told."""

    request: Request
    about: Any
    is_live: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came for a call."""

    text: str
    finish_reason: FinishReason
    seed: int


class Work(ABC, Generic[N]):
    """Something that takes several requests: a document, for example.

    `usage` sums what its requests took; `error` ends it.
    """

    def __init__(self, id: int) -> None:
        self.id = id
        self.error: LlmtoolError | None = None
        self.usage = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0)

    @property
    @abstractmethod
    def is_complete(self) -> bool: ...

    @abstractmethod
    def begin(self) -> Iterator[Call]:
        """Yield what can be asked from the start; read as the engine has room."""

    @abstractmethod
    def take(self, call: Call, reply: Reply) -> Iterator[Call]:
        """Take a reply, and yield what is to be asked because of it."""

    def news(self) -> Iterator[N]:
        """Yield what can be told since the last time."""
        return iter(())

    def hear(self, call: Call, token: Token) -> Iterator[N]:
        """Yield what a token of a live call tells."""
        return iter(())


W = TypeVar("W", bound=Work[Any])


class WorkflowRunner(Generic[W, N]):
    """The works on their way through an engine.

    `events` yields news as they come, of all works, and each work when it is done, in the order in
    which the works came; one that failed is a `Failed` in its place. Works are read as the engine
    has room for their requests; `None` among them says that the next is not there yet.
    """

    def __init__(self, engine: Engine, works: Iterable[W | Failed | None]) -> None:
        self._engine, self._works = engine, works
        self._line: deque[W | Failed] = deque()
        self._later: deque[tuple[W, Call]] = deque()
        self._open: dict[int, tuple[W, Call]] = {}
        self._texts: dict[int, list[str]] = {}
        self._next_id = 0

    def events(self) -> Generator[N | W | Failed, None, None]:
        events = self._engine.stream(self._read())
        try:
            for event in events:
                work = None
                if event.id in self._open:
                    work, call = self._open[event.id]
                    if isinstance(event, Token):
                        if not event.reasoning:
                            self._texts[event.id].append(event.text)
                        if call.is_live:
                            yield from work.hear(call, event)
                        continue
                    self._take(work, call, event)
                yield from self._leave(work)
            if self._line:
                raise EngineError("the model was closed before all was complete")
        finally:
            # The engine serves nobody else before this, however long an error keeps its frames.
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def _read(self) -> Iterator[Request | Failed | None]:
        """Yield requests as the engine wants them: what follows from replies before what is new."""
        new = self._new()
        is_done = False
        while True:
            if self._later:
                yield self._register(*self._later.popleft())
            elif is_done and not self._open:
                return
            elif is_done or max(len(self._open), len(self._line)) >= MAX_AHEAD:
                yield None
            else:
                item = next(new, _END)
                if item is _END:
                    is_done = True
                elif isinstance(item, tuple):
                    yield self._register(*item)
                else:
                    yield item

    def _new(self) -> Iterator[tuple[W, Call] | Failed | None]:
        for work in self._works:
            if work is None:
                yield None
                continue
            self._line.append(work)
            if not isinstance(work, Failed):
                try:
                    for call in work.begin():
                        yield work, call
                        if work.error is not None:
                            break
                except LlmtoolError as exc:
                    self._fail(work, exc)
            yield _wake_up()

    def _register(self, work: W, call: Call) -> Request | None:
        if work.error is not None:
            return None
        self._next_id += 1
        self._open[self._next_id] = work, call
        self._texts[self._next_id] = []
        return msgspec.structs.replace(call.request, id=self._next_id)

    def _take(self, work: W, call: Call, event: Finished | Failed) -> None:
        del self._open[event.id]
        text = "".join(self._texts.pop(event.id))
        if isinstance(event, Failed):
            self._fail(work, event.error)
            return
        work.usage = _sum(work.usage, event.usage)
        if work.error is not None:
            return
        reply = Reply(text=text, finish_reason=event.finish_reason, seed=event.seed)
        try:
            self._later.extend((work, each) for each in work.take(call, reply))
        except LlmtoolError as exc:
            self._fail(work, exc)

    def _leave(self, work: W | None) -> Iterator[N | W | Failed]:
        told = [work] if work is not None else [w for w in self._line if not isinstance(w, Failed)]
        for each in told:
            if each.error is None:
                yield from each.news()
        while self._line:
            first = self._line[0]
            if isinstance(first, Failed):
                yield self._line.popleft()
            elif first.error is not None:
                self._line.popleft()
                yield Failed(first.id, first.error)
            elif first.is_complete:
                self._line.popleft()
                yield first
            else:
                return

    def _fail(self, work: W, error: LlmtoolError) -> None:
        if isinstance(error, Cancelled):
            raise error
        work.error = work.error or error


_END: Any = object()


def _wake_up() -> Failed:
    """Return an event that the engine gives back at once, so that what is done can leave."""
    return Failed(-1, EngineError("nothing to do"))


def _sum(a: Usage, b: Usage) -> Usage:
    return Usage(
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
    )
