"""Streams: the events of a result while it is generated, and then the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from llmtool.arguments import check_argument, check_range
from llmtool.cancellation import Cancellation, TimeLimit
from llmtool.errors import ClosedError, EngineError, LlmtoolError
from llmtool.tasks.pipeline.ordering import closing_stream

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.async_streams import AsyncBridge

E = TypeVar("E")
R = TypeVar("R")
Limit = AbstractContextManager[object]  # such as `TimeLimit`, entered for each part of a stream


def make_limit(cancellation: Cancellation, seconds: object, *, name: str = "timeout") -> Limit:
    """Return a block that ends after `seconds`, or never if that is None.

    Raises:
        UsageError: `seconds` is not a number above 0; the error names it `name`.
    """
    number = cast("float | None", check_argument(name, seconds, "float | None"))
    if number is None:
        return nullcontext()
    check_range(name, number, above=0)
    return TimeLimit(cancellation, number)


def read_within(limit: Limit, items: Iterator[E]) -> Generator[E, None, None]:
    """Yield the items of an iterator, each of which is computed within a limit."""
    end: Any = object()
    with closing_stream(items):
        while True:
            with limit:
                item = next(items, end)
            if item is end:
                return
            yield item


class Stream(Generic[E, R]):
    """An iterator over the events of a call, such as tokens, with the `result` of the call.

    The model serves no other call of this thread until the stream has ended. To end it early, use
    it as a context manager or call `close`, which stops the model.

    Args:
        events: yields the events and the result.
        result_type: the type of the result.

    Example:
        >>> from llmtool import Token
        >>> stream = Stream((e for e in (Token(0, 0, "Hi"), Token(0, 0, "!"), 2)), int)
        >>> [token.text for token in stream], stream.result
        (['Hi', '!'], 2)
    """

    def __init__(self, events: Generator[E | R, None, None], result_type: type[R]) -> None:
        self._events, self._result_type = events, result_type
        self._result: R | None = None
        self._error: BaseException | None = None
        self._is_open = True

    def within(self, limit: Limit) -> Stream[E, R]:
        """Return the same stream, which is read within a limit."""
        return Stream(read_within(limit, self._events), self._result_type)

    def __iter__(self) -> Stream[E, R]:
        return self

    def __next__(self) -> E:
        try:
            for event in self._events:
                if not isinstance(event, self._result_type):
                    return cast("E", event)
                self._result = event
        except BaseException as exc:
            self._error = exc
            self._stop()
            raise
        self._is_open = False
        raise StopIteration

    @property
    def result(self) -> R:
        """The result. If the stream has not ended, the rest of it is read first.

        Raises:
            LlmtoolError: the error that ended the stream; `ClosedError` if it was closed early.
        """
        try:
            for _ in self:
                pass
        except BaseException:
            self._stop()
            raise
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise ClosedError("the stream was closed before its end; it has no result")
        return self._result

    def close(self) -> None:
        """Stop the model, unless the stream has ended."""
        self._events.close()
        self._is_open = False

    def _stop(self) -> None:
        """Stop the model after an error, such as a KeyboardInterrupt between two events."""
        with suppress(ValueError):  # another thread reads the stream
            self.close()

    def __enter__(self) -> Stream[E, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream of {self._result_type.__name__}, {'open' if self._is_open else 'ended'}>"


class AsyncStream(Generic[E, R]):
    """The asyncio form of `Stream`.

    Args:
        bridge: runs the stream in a thread.
        start: returns the stream; called on the first event.
        limit: a block in which the stream is read.
        of: the name of the type of the result.

    Example:
        >>> import asyncio
        >>> from llmtool import Toolbox
        >>> async def print_reply(prompt):
        ...     async with Toolbox().astream_generate(prompt) as stream:
        ...         async for token in stream:
        ...             print(token.text, end="")
        ...     return stream.result.finish_reason
        >>> asyncio.run(print_reply("Name a river."))
        The Danube.'stop'
    """

    def __init__(
        self,
        bridge: AsyncBridge,
        start: Callable[[], Stream[E, R]],
        limit: Limit,
        *,
        of: str = "results",
    ) -> None:
        self._of = of
        self._started: list[Stream[E, R]] = []  # at most one
        self._error: LlmtoolError | None = None
        self._is_open = True
        started = self._started  # without a reference to `self`, which is closed when unused

        def begin() -> Iterable[E]:
            started.append(start())
            return started[0]

        self._events = bridge.stream(begin, limit)

    def __aiter__(self) -> AsyncStream[E, R]:
        return self

    async def __anext__(self) -> E:
        try:
            return await self._events.__anext__()
        except BaseException as exc:
            self._is_open = False
            if isinstance(exc, LlmtoolError):
                self._error = exc
            raise

    @property
    def result(self) -> R:
        """The result of a stream that has ended; `await finish()` reads the rest and returns it.

        Raises:
            EngineError: the stream has not ended.
            LlmtoolError: the error that ended the stream; `ClosedError` if it was closed early.
        """
        if self._is_open:
            raise EngineError("the stream has not ended; read all of it, or use `await finish()`")
        if self._error is not None:
            raise self._error
        if not self._started:
            raise ClosedError("the stream was closed before its end; it has no result")
        return self._started[0].result

    async def finish(self) -> R:
        """Read the rest of the stream, and return its result; raises as `result`."""
        async for _ in self:
            pass
        return self.result

    async def aclose(self) -> None:
        """Stop the model, unless the stream has ended."""
        await self._events.aclose()
        self._is_open = False

    async def __aenter__(self) -> AsyncStream[E, R]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncStream of {self._of}, {'open' if self._is_open else 'ended'}>"
