"""Run blocking tasks from asyncio: in a thread, one call per event loop at a time."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from llmtool.cancellation import Cancellation
from llmtool.errors import EngineError
from llmtool.tasks.pipeline.ordering import closing_stream

if TYPE_CHECKING:
    import asyncio

E = TypeVar("E")
R = TypeVar("R")
_POLL_SECONDS = 0.05


class AsyncBridge:
    """Runs blocking calls for event loops; cancelling the asyncio task stops its call."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._streaming: WeakSet[Any] = WeakSet()  # loops with an open stream
        self._readers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # last reader, by loop

    def check_thread(self) -> None:
        """Check that the event loop of this thread has no open stream, which it would block.

        Raises:
            EngineError: a blocking call would wait forever.
        """
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or not self._streaming:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop runs in this thread
            return
        if loop in self._streaming:
            raise EngineError(
                "another reply of this event loop is not finished; finish or close it first, or "
                "await the asyncio form of this call"
            )

    async def call(self, function: Callable[[], R]) -> R:
        """Return the result of a function; an iterator is read to its end first.

        Raises:
            EngineError: this asyncio task has an unfinished stream, so the call would deadlock.
        """

        def read() -> R:
            result = function()
            return iter(list(result)) if isinstance(result, Iterator) else result  # type: ignore[return-value]

        async with self._turn(nullcontext()):
            return await self._run(read)

    async def stream(
        self, begin: Callable[[], Iterable[E]], limit: AbstractContextManager[object]
    ) -> AsyncGenerator[E, None]:
        """Yield the events that `begin` returns; it is called in a thread as well.

        `limit` is entered for each event: a block around the loop would contain its body.

        Raises:
            EngineError: see `call`.
        """
        import asyncio

        done: Any = object()
        async with self._turn(limit):
            loop = asyncio.get_running_loop()
            self._streaming.add(loop)
            try:
                with limit:
                    begun = await self._run(begin)
                with closing_stream(iter(begun)) as events:
                    while True:
                        with limit:
                            event = await self._run(next, events, done)
                        if event is done:
                            return
                        yield event
            finally:
                self._streaming.discard(loop)

    @asynccontextmanager
    async def _turn(self, limit: AbstractContextManager[object]) -> AsyncIterator[None]:
        """Wait, within a limit, until no other call of this event loop runs.

        A second call would block a worker thread that the first one needs.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        lock: asyncio.Lock = self._locks.setdefault(loop, asyncio.Lock())
        if lock.locked() and self._readers.get(loop) is asyncio.current_task():
            raise EngineError("a reply is still being streamed; finish or close it first")
        with limit:
            await self._acquire(lock)
        try:
            yield
        finally:
            lock.release()

    async def _acquire(self, lock: asyncio.Lock) -> None:
        """Acquire a lock, unless the wait is cancelled."""
        import asyncio

        acquiring = asyncio.ensure_future(lock.acquire())
        try:
            while not acquiring.done():
                await asyncio.wait([acquiring], timeout=_POLL_SECONDS)
                self._cancellation.check()
        except BaseException:
            if not acquiring.cancel():
                lock.release()
            raise

    async def _run(self, function: Callable[..., R], *args: Any) -> R:
        """Run a function in a thread; cancelling the asyncio task cancels it."""
        import asyncio

        self._readers[asyncio.get_running_loop()] = asyncio.current_task()
        with self._cancellation.scope() as scope:
            step = asyncio.ensure_future(asyncio.to_thread(function, *args))
            try:
                while not step.done():  # the interrupt of a notebook does not wake an idle loop
                    await asyncio.wait([step], timeout=_POLL_SECONDS)
                return step.result()
            except asyncio.CancelledError:
                scope.cancel()
                while not step.done():  # until the engine has stopped
                    with suppress(asyncio.CancelledError):  # cancelled again
                        await asyncio.wait([step])
                step.exception()
                raise
