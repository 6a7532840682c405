"""Streams for asyncio: events are made in a thread, one stream of an event loop at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from llmtool.engine.types import Cancellation

E = TypeVar("E")


class Turns:
    """Lets the streams of an event loop take turns; cancelling a task stops what it decodes."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._gates: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    async def stream(self, begin: Callable[[], Generator[E, None, None]]) -> AsyncIterator[E]:
        """Yield the events of the generator that `begin` makes."""
        import asyncio

        loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(loop, asyncio.Lock())
        done: Any = object()
        async with gate:  # a second reply would wait in a worker thread that the first one needs
            events = begin()
            try:
                while True:
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
