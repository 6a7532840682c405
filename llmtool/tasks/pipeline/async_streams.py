"""Run blocking tasks from asyncio: in a thread, one call per event loop at a time."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from llmtool.engine.types import Cancellation
from llmtool.errors import EngineError
from llmtool.tasks.pipeline.ordering import closing_stream

E = TypeVar("E")
R = TypeVar("R")


class AsyncBridge:
    """Runs blocking calls for event loops; cancelling the asyncio task stops decoding."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._gates: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._readers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # last reader, by loop

    def check_thread(self) -> None:
        """Check that the event loop of this thread waits for no reply, which it would block.

        Raises:
            EngineError: a blocking call would wait forever.
        """
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or not self._gates:
            return
        try:
            gate = self._gates.get(asyncio.get_running_loop())
        except RuntimeError:  # no loop runs in this thread
            return
        if gate is not None and gate.locked():
            raise EngineError(
                "another reply of this event loop is not finished; finish or close it first, or "
                "await the asyncio form of this call"
            )

    async def call(self, function: Callable[[], R]) -> R:
        """Return the result of a function; an iterator is read to its end first."""

        def events() -> Generator[R, None, None]:
            result = function()
            yield iter(list(result)) if isinstance(result, Iterator) else result  # type: ignore[misc]

        (result,) = [each async for each in self.stream(events)]
        return result

    async def stream(self, begin: Callable[[], Iterable[E]]) -> AsyncGenerator[E, None]:
        """Yield the events that `begin` returns; it is called in a thread as well.

        Raises:
            EngineError: this asyncio task has an unfinished stream, so the call would deadlock.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(loop, asyncio.Lock())
        done: Any = object()
        if gate.locked() and self._readers.get(loop) is asyncio.current_task():
            raise EngineError("a reply is still being streamed; finish or close it first")

        async def run(function: Callable[..., R], *args: Any) -> R:
            self._readers[loop] = asyncio.current_task()
            step = asyncio.ensure_future(asyncio.to_thread(function, *args))
            try:
                return await asyncio.shield(step)
            except asyncio.CancelledError:
                self._cancellation.cancel()
                await asyncio.wait([step])  # until the engine has stopped
                step.exception()
                self._cancellation.reset()
                raise

        async with gate:  # a second reply would block a worker thread that the first one needs
            with closing_stream(iter(await run(begin))) as events:
                while (event := await run(next, events, done)) is not done:
                    yield event
