"""Streams for asyncio: events are made in a thread, one stream of an event loop at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from llmtool.engine.types import Cancellation
from llmtool.errors import EngineError

E = TypeVar("E")


class Turns:
    """Lets the streams of an event loop take turns; cancelling a task stops what it decodes."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._gates: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._readers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # who read last, by loop

    async def stream(self, begin: Callable[[], Generator[E, None, None]]) -> AsyncIterator[E]:
        """Yield the events of the generator that `begin` makes.

        Raises:
            EngineError: this task has a stream that is not finished, so waiting had no end.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(loop, asyncio.Lock())
        done: Any = object()
        if gate.locked() and self._readers.get(loop) is asyncio.current_task():
            raise EngineError("a reply is still being streamed: finish or close it first")
        async with gate:  # a second reply would wait in a worker thread that the first one needs
            events = begin()
            try:
                while True:
                    self._readers[loop] = asyncio.current_task()
                    step = asyncio.ensure_future(asyncio.to_thread(next, events, done))
                    try:
                        event = await asyncio.shield(step)
                    except asyncio.CancelledError:
                        self._cancellation.cancel()
                        await asyncio.wait([step])  # the engine is free when it has stopped
                        step.exception()
                        self._cancellation.reset()
                        raise
                    if event is done:
                        return
                    yield event
            finally:
                events.close()
