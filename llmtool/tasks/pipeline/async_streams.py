"""Run blocking tasks from asyncio: in a thread, one call per event loop at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from llmtool.background import waiting_thread
from llmtool.cancellation import Cancellation
from llmtool.errors import EngineError
from llmtool.tasks.pipeline.ordering import closing_stream

if TYPE_CHECKING:
    import asyncio

E = TypeVar("E")
R = TypeVar("R")
_POLL_SECONDS = 0.05


class _Reader:
    """A task that reads a stream of a bridge; None after the stream has ended."""

    def __init__(self, bridge: AsyncBridge, task: object) -> None:
        self.bridge: AsyncBridge | None = bridge
        self.task: object = task

    def end(self) -> None:
        self.bridge = self.task = None


# Tasks, and threads of `asyncio.to_thread`, inherit it from the one that starts them and may wait
# for them.
_readers: ContextVar[tuple[_Reader, ...]] = ContextVar("_readers", default=())


class AsyncEvents(Generic[E]):
    """An asynchronous iterator that is closed when it is no longer referenced.

    A generator is closed later, by a task of its event loop.
    """

    def __init__(self, events: AsyncGenerator[E, None]) -> None:
        self._events = events
        self._thread = threading.get_ident()

    def __aiter__(self) -> AsyncEvents[E]:
        return self

    async def __anext__(self) -> E:
        self._thread = threading.get_ident()
        return await self._events.__anext__()

    async def aclose(self) -> None:
        """Stop the model, unless the events have ended."""
        await self._events.aclose()

    def __del__(self) -> None:
        if self._thread == threading.get_ident():
            with suppress(StopIteration, RuntimeError):  # it ended, or is left to the event loop
                self._events.aclose().send(None)


class AsyncBridge:
    """Runs blocking calls for event loops; cancelling the asyncio task stops its call."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._streaming: WeakSet[Any] = WeakSet()  # loops with an open stream

    def check_thread(self) -> None:
        """Check that neither the event loop of this thread nor the task has an open stream.

        Raises:
            EngineError: a blocking call would wait forever.
        """
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and self._streaming:
            with suppress(RuntimeError):  # no loop runs in this thread
                if asyncio.get_running_loop() in self._streaming:
                    raise EngineError(
                        "another reply of this event loop is not finished; finish or close it "
                        "first, or await the asyncio form of this call"
                    )
        self._check_not_reading()

    def _check_not_reading(self) -> None:
        if any(reader.bridge is self for reader in _readers.get()):
            raise EngineError("a reply is still being streamed; finish or close it first")

    async def call(self, function: Callable[[], R]) -> R:
        """Return the result of a function; an iterator is read to its end first.

        Raises:
            EngineError: this asyncio task, or the one that started it, has an unfinished stream, so
                the call would deadlock.
        """

        def read() -> R:
            result = function()
            return iter(list(result)) if isinstance(result, Iterator) else result  # type: ignore[return-value]

        lock = await self._acquire_turn(nullcontext())
        try:
            return await self._run(read)
        finally:
            lock.release()

    def stream(
        self, begin: Callable[[], Iterable[E]], limit: AbstractContextManager[object]
    ) -> AsyncEvents[E]:
        """Yield the events that `begin` returns; it is called in a thread as well.

        `limit` is entered for each event: a block around the loop would contain its body.

        Raises:
            EngineError: see `call`.
        """
        return AsyncEvents(self._stream(begin, limit))

    async def _stream(
        self, begin: Callable[[], Iterable[E]], limit: AbstractContextManager[object]
    ) -> AsyncGenerator[E, None]:
        import asyncio

        done: Any = object()
        lock = await self._acquire_turn(limit)
        loop = asyncio.get_running_loop()
        self._streaming.add(loop)
        reader = _Reader(self, None)
        try:
            with limit:
                begun = await self._run(begin)
            with closing_stream(iter(begun)) as events:
                while True:
                    if reader.task is not asyncio.current_task():
                        reader.end()
                        reader = _Reader(self, asyncio.current_task())
                        others = [each for each in _readers.get() if each.bridge is not None]
                        _readers.set((*others, reader))
                    with limit:
                        event = await self._run(next, events, done)
                    if event is done:
                        return
                    yield event
        finally:
            reader.end()
            self._streaming.discard(loop)
            lock.release()

    async def _acquire_turn(self, limit: AbstractContextManager[object]) -> asyncio.Lock:
        """Wait, within a limit, until no other call of this event loop runs.

        A second call would block a worker thread that the first one needs. An asynchronous context
        manager would contain a generator, which the event loop may close before its user.
        """
        import asyncio

        lock: asyncio.Lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        self._check_not_reading()
        with limit:
            await self._acquire(lock)
        return lock

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

        waits = threading.get_ident()

        def call() -> R:
            waiting_thread.set(waits)
            _readers.set(())  # in the context of the thread: a step of a stream is part of it
            return function(*args)

        with self._cancellation.scope() as scope:
            step = asyncio.ensure_future(asyncio.to_thread(call))
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
