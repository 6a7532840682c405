"""What the endpoints share: the models, threads for their calls, and a bounded queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import TypeVar, cast

from llmtool.background import BackgroundCall
from llmtool.cancellation import CancelScope
from llmtool.engine.loop_queue import LoopQueue
from llmtool.engine.shared import Delivery, SharedEngine
from llmtool.engine.types import Event, Failed, Finished, Request, Token
from llmtool.errors import Cancelled, ClosedError, LlmtoolError, ModelNotFound, TimeoutExpired
from llmtool.server.activity import Activity
from llmtool.server.errors import QueueFull
from llmtool.server.functions.catalogue import Function
from llmtool.suggest import suggest
from llmtool.toolbox import Toolbox

_log = logging.getLogger("llmtool.server")
E = TypeVar("E")
R = TypeVar("R")


class Service:
    """Runs the calls of clients on the server's models.

    Args:
        boxes: the models by name; the first one serves requests that name none. Their toolboxes
            are `concurrent`.
        functions: the functions by name.
        max_running: the number of calls that run at once; the others wait.
        max_queue: the number of calls that may wait; another one is an error.
        timeout: the maximum number of seconds of a call, with the time that it waits.
    """

    def __init__(
        self,
        boxes: Mapping[str, Toolbox],
        *,
        functions: Mapping[str, Function],
        max_running: int = 64,
        max_queue: int = 256,
        timeout: float = 600,
    ) -> None:
        self.boxes, self.functions = dict(boxes), dict(functions)
        self.started_at = time.time()
        self._max_queue, self._timeout = max_queue, timeout
        self._pool = ThreadPoolExecutor(max_running, thread_name_prefix="llmtool-call")
        self._free = asyncio.Semaphore(max_running)
        self.n_waiting = self.n_running = 0
        self.activity = Activity()
        self._calls: set[Callable[[LlmtoolError], None]] = set()  # each stops one with an error
        self._is_stopped = False
        self._loading = BackgroundCall(self._load)

    def check_loaded(self) -> bool:
        """Return whether the first model is loaded.

        Raises:
            LlmtoolError: it could not be loaded.
        """
        if not self._loading.thread.is_alive():
            self._loading.result()
            return True
        return False

    def _load(self) -> None:
        name, box = self.find(None)
        try:
            _ = box.engine
        except (Cancelled, ClosedError):
            raise
        except LlmtoolError as exc:
            _log.error("%s: %s", name, exc)
            raise

    def close(self) -> None:
        """Stop all calls, and free the models."""
        for box in self.boxes.values():
            box.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def stop_calls(self) -> int:
        """Stop all calls, and those that wait, with an error; return how many were running."""
        self._is_stopped = True
        for stop in self._calls:
            stop(_stopped())
        return len(self._calls)

    def find(self, name: str | None) -> tuple[str, Toolbox]:
        """Return the name and the toolbox of a model.

        Raises:
            ModelNotFound: the server has no such model.
        """
        if not name:
            return next(iter(self.boxes.items()))
        if name not in self.boxes:
            hint = suggest(name, self.boxes) or f"; use {' or '.join(self.boxes)}"
            raise ModelNotFound(f"this server has no model {name!r}{hint}")
        return name, self.boxes[name]

    async def call(self, box: Toolbox, function: Callable[[], R]) -> R:
        """Return the result of a blocking function; cancelling the task stops it.

        Raises:
            QueueFull: too many calls wait.
            TimeoutExpired: it took too long.
        """
        result: list[R] = []
        async with self._admit() as end:
            async for each in self._run(box, lambda: [function()], end):
                result.append(each)
        return result[0]

    async def stream(
        self, box: Toolbox, begin: Callable[[], Iterable[E]]
    ) -> AsyncGenerator[E, None]:
        """Yield the items of a blocking iterable; closing the generator stops it.

        Raises:
            QueueFull, TimeoutExpired: see `call`.
        """
        async with self._admit() as end:
            async for each in self._run(box, begin, end):
                yield each

    async def generate(
        self,
        box: Toolbox,
        prepare: Callable[[], Sequence[Request]],
        *,
        is_slow: bool = False,
        wake_seconds: float | None = None,
    ) -> AsyncGenerator[list[Token | Finished], None]:
        """Yield the events of the requests of `prepare`; closing the generator stops them.

        The first list is empty: the requests are prepared, in a thread if `is_slow` or the model is
        not loaded. Another list has the events of a step, of all steps that wait, or none after
        `wake_seconds` without a token.

        Raises:
            QueueFull, TimeoutExpired: see `call`.
            LlmtoolError: a request failed.
        """
        async with self._admit() as end:
            if is_slow or box.loaded_engine is None:
                async with aclosing(self._run(box, lambda: [prepare()], end)) as prepared:
                    requests = await prepared.__anext__()
            else:
                requests = prepare()
            engine = box.engine
            assert isinstance(engine, SharedEngine)  # the toolbox is `concurrent`
            yield []
            queue = LoopQueue[Delivery](wake_seconds=wake_seconds)
            with self._until(end, queue.fail):
                async with aclosing(engine.astream(requests, queue)) as lists:
                    async for events in lists:
                        yield _without_failures(events)

    @asynccontextmanager
    async def _admit(self) -> AsyncIterator[float]:
        """Wait until a call may run; yield the time by which it must end."""
        end = time.monotonic() + self._timeout
        if self._free.locked() and self.n_waiting >= self._max_queue:
            raise QueueFull(self.n_waiting)
        self.n_waiting += 1
        try:
            await self._acquire()
        finally:
            self.n_waiting -= 1
        self.n_running += 1
        try:
            if self._is_stopped:
                raise _stopped()
            with self.activity:
                yield end
        finally:
            self.n_running -= 1
            self._free.release()

    async def _acquire(self) -> None:
        """Wait until a call may run. `wait_for` would ignore a cancellation at its end."""
        if not self._free.locked():
            await self._free.acquire()
            return
        acquiring = asyncio.ensure_future(self._free.acquire())
        try:
            await asyncio.wait([acquiring], timeout=self._timeout)
        except asyncio.CancelledError:
            if not acquiring.cancel():
                self._free.release()
            raise
        if not acquiring.done():
            acquiring.cancel()
            raise self._expired()

    async def _run(
        self, box: Toolbox, begin: Callable[[], Iterable[E]], end: float
    ) -> AsyncGenerator[E, None]:
        """Yield the items of an iterable that a thread reads, until `end`."""
        queue = LoopQueue[E]()  # the length of a reply is limited
        scope = box.cancellation.scope()

        def read() -> None:
            error: BaseException = _Ended()
            try:
                with scope:
                    for item in begin():
                        queue.post(queue.add, [item])
            except BaseException as exc:
                error = exc
            queue.post(queue.fail, error)

        def stop(error: LlmtoolError) -> None:
            scope.cancel()
            queue.fail(error)

        context = copy_context()
        thread = queue.loop.run_in_executor(self._pool, context.run, read)
        try:
            with self._until(end, stop):
                while True:
                    for item in await queue.get():
                        yield item
        except _Ended:
            return
        finally:
            if not thread.done():
                await _stop(scope, thread)

    @contextmanager
    def _until(self, end: float, stop: Callable[[LlmtoolError], None]) -> Iterator[None]:
        """Call `stop` with an error at `end`, or when the server ends."""
        self._calls.add(stop)
        seconds = end - time.monotonic()
        timer = asyncio.get_running_loop().call_later(seconds, lambda: stop(self._expired()))
        try:
            yield
        finally:
            timer.cancel()
            self._calls.discard(stop)

    def _expired(self) -> TimeoutExpired:
        message = f"not finished after {self._timeout:g} s; shorten the request"
        return TimeoutExpired(message, seconds=self._timeout)


def _without_failures(events: list[Event]) -> list[Token | Finished]:
    """Return the events of generation requests; raise the error of one that failed."""
    for event in events:
        if isinstance(event, Failed):
            raise event.error
    return cast("list[Token | Finished]", events)


def _stopped() -> Cancelled:
    return Cancelled("the server is shutting down")


async def _stop(scope: CancelScope, thread: asyncio.Future[None]) -> None:
    """Stop a call, and wait for the end of its thread, even if this task is cancelled again."""
    scope.cancel()
    cancelled = None
    while not thread.done():
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


class _Ended(Exception):
    """The thread of a call has put all its items."""
