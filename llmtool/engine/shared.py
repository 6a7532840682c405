"""One engine for several threads and tasks: their requests run together in one stream.

A thread reads the requests of all callers, and passes each event to its caller. Thread and stream
end when no request is left.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.intake import AnyRequest, read_available
from llmtool.engine.totals import EngineTotals
from llmtool.engine.types import (
    Engine,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Token,
    Tokenized,
)
from llmtool.errors import ClosedError, EngineError
from llmtool.forks import call_after_fork
from llmtool.option_names import defer_names

if TYPE_CHECKING:
    import asyncio

    from llmtool.engine.loop_queue import LoopQueue

Delivery = tuple[Event, bool]  # an event, and whether it is the last one of its request
_MAX_OPEN = 64  # requests of one call that the engine may read ahead
_POLL_SECONDS = 0.02  # between polls of a source that has no request yet
# Signals interrupt a thread that waits, except on Windows.
_CHECK_SECONDS = 0.05 if sys.platform == "win32" else None


@runtime_checkable
class SteppingEngine(Engine, Protocol):
    """An engine that decodes in steps, each of one token or more for each running request."""

    def steps(self, requests: Iterable[AnyRequest | None]) -> Iterator[list[Event]]:
        """Yield the events of each step; raise as `stream`."""
        ...


class SharedEngine:
    """Runs the requests of several threads on one engine, in turns if more wait than can run.

    Args:
        engine: an engine, used by nothing else; `close` closes it.
        cancellation: stops the calls of its scopes, such as the one of the engine.

    Example:
        >>> from llmtool.cancellation import Cancellation
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> from llmtool.engine.types import Prompt, Request, Token
        >>> engine = SharedEngine(ScriptedEngine("Hello!"), cancellation=Cancellation())
        >>> [event.text for event in engine.stream([Request(prompt=Prompt(text="Say hello"))])
        ...  if isinstance(event, Token)]
        ['Hello!']
    """

    def __init__(self, engine: Engine, *, cancellation: Cancellation) -> None:
        self._engine, self._cancellation = engine, cancellation
        self._lock = threading.RLock()  # the garbage collector may close a stream meanwhile
        self._turns: deque[_Call] = deque()  # calls with requests that the engine has not read
        self._running: dict[int, _Running] = {}  # by id in the stream
        self.totals = EngineTotals()
        self._next_id = 0
        self._closed = self._forked = False
        self._thread: threading.Thread | None = None
        call_after_fork(self)

    def after_fork(self) -> None:
        """Refuse to run in a child, which does not have the thread."""
        self._forked, self._lock = True, threading.RLock()

    def close(self) -> None:
        """Stop all calls, and close the engine."""
        if self._forked:
            return
        with self._lock:
            self._closed = True
            for call in self._calls():
                call.cancellation.cancel()
                call.wake()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._engine.close()

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def progress(self) -> StreamProgress:
        return self._engine.progress

    @property
    def reasoning_support(self) -> ReasoningSupport:
        return self._engine.reasoning_support

    @property
    def n_waiting(self) -> int:
        """The number of requests that the engine has not started to read."""
        with self._lock:
            return sum(len(call.waiting) for call in self._turns)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        return self._engine.tokenize(prompt)

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        return self._engine.check_length(n_prompt, max_tokens)

    def save_state(self, prompt: Prompt) -> None:
        """Do nothing: the state would have to be that of one conversation."""

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests, beside those of other threads; see `Engine.stream`.

        Raises:
            Cancelled: the cancellation was set, or a scope of it around this call.
            ClosedError: the engine was closed.
            EngineError: the engine failed, or the process was forked.
        """
        source, call, exhausted = iter(requests), _ThreadCall(), False
        try:
            while True:
                self._check()
                if not exhausted:
                    new, failed, exhausted = read_available(source, _MAX_OPEN - call.n_open)
                    self._submit(call, new)
                    yield from failed
                if call.n_open:
                    for event, is_last in self._next_events(call):
                        call.n_open -= is_last
                        yield event
                elif exhausted:
                    return
                else:
                    time.sleep(_POLL_SECONDS)
        finally:
            self._leave(call)

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of each request; raises as `stream`."""
        return cast("Iterator[Scores | Failed]", self.stream(requests))

    async def astream(
        self, requests: Sequence[AnyRequest], queue: LoopQueue[Delivery]
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the events of requests in an event loop, without a thread for them.

        A list has the events of a step, of all steps that wait, or none if the task was woken.
        `queue` is new; its `add` wakes the task, and its `fail` ends the stream.

        Raises:
            ClosedError, EngineError: see `stream`.
            Cancelled: the cancellation was set.
        """
        self._check()
        call = _LoopCall(queue)
        self._submit(call, requests)
        try:
            with self._cancellation.waking(call.wake):
                while call.n_open:
                    events = await queue.get()
                    self._check()
                    call.n_open -= sum(is_last for _, is_last in events)
                    yield [event for event, _ in events]
        finally:
            self._leave(call)

    def _check(self) -> None:
        if self._forked:
            raise EngineError("the process was forked; create a Toolbox in the child")
        if self._closed:
            raise ClosedError("the model was closed; create a new Toolbox")
        self._cancellation.check()

    def _submit(self, call: _Call, requests: Iterable[AnyRequest]) -> None:
        """Let requests wait, all at once, so that they run together as on the engine itself."""
        stoppable = []
        for each in requests:
            stop = each.cancellation
            stop = call.cancellation if stop is None else _Either(stop, call.cancellation)
            stoppable.append(msgspec.structs.replace(each, cancellation=stop))
        if not stoppable:
            return
        call.n_open += len(stoppable)
        with self._lock:
            if not call.waiting:
                self._turns.append(call)
            now = time.monotonic()
            call.waiting.extend((now, each) for each in stoppable)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="llmtool", daemon=True)
                self._thread.start()

    def _next_events(self, call: _ThreadCall) -> list[Delivery]:
        """Wait for events; return them, and whether each is the last one of its request."""
        with self._cancellation.waking(call.wake):
            events = None
            while events is None:
                self._check()
                with suppress(Empty):
                    events = call.events.get(timeout=_CHECK_SECONDS)
        if isinstance(events, BaseException):
            self._check()
            raise events
        return events

    def _leave(self, call: _Call) -> None:
        """Forget a call's requests, and stop those that run."""
        with self._lock:
            call.cancellation.cancel()
            call.waiting.clear()
            if call in self._turns:
                self._turns.remove(call)

    # The thread of the engine:

    def _serve(self) -> None:
        with defer_names():  # the caller may be another process
            self._serve_all()

    def _serve_all(self) -> None:
        while True:
            with self._lock:
                if not self._turns:
                    self._thread = None
                    return
            try:
                for events in self._steps(self._read()):
                    self._pass_on(events)
            except BaseException as exc:
                with self._lock:
                    self._fail_all(exc)

    def _read(self) -> Iterator[AnyRequest | None]:
        """Yield the next request of each call in turn, and None while only running ones remain."""
        while True:
            with self._lock:
                if not (self._turns or self._running):
                    return
                request = self._take() if self._turns else None
            yield request

    def _take(self) -> AnyRequest:
        call = self._turns.popleft()
        submitted_at, request = call.waiting.popleft()
        if call.waiting:
            self._turns.append(call)
        id, self._next_id = self._next_id, self._next_id + 1
        n_left = request.n if isinstance(request, Request) else 1
        self._running[id] = _Running(call, request.id, n_left, submitted_at)
        return msgspec.structs.replace(request, id=id)

    def _steps(self, requests: Iterator[AnyRequest | None]) -> Iterator[list[Event]]:
        if isinstance(self._engine, SteppingEngine):
            return self._engine.steps(requests)
        return ([event] for event in self._engine.stream(requests))

    def _pass_on(self, events: Iterable[Event]) -> None:
        """Pass the events of a step to their callers, which then run beside the next step.

        Passed one by one, they would compete with this thread for the interpreter. An event loop is
        woken once for all its tasks.
        """
        found: dict[_Call, list[Delivery]] = {}
        for event in events:
            call, own, is_last = self._find_call(event)
            found.setdefault(call, []).append((own, is_last))
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_LoopCall, list[Delivery]]]] = {}
        for call, own_events in found.items():
            if isinstance(call, _LoopCall):
                by_loop.setdefault(call.queue.loop, []).append((call, own_events))
            else:
                call.put(own_events)
        for calls in by_loop.values():
            calls[0][0].queue.post(_add_all, calls)

    def _find_call(self, event: Event) -> tuple[_Call, Event, bool]:
        """Return the call of an event, the event with its id there, and whether it is the last."""
        running = self._running[event.id]
        if isinstance(event, Failed):
            running.n_left = 0
        elif not isinstance(event, Token):
            running.n_left -= 1
        self._count(running, event)
        if not running.n_left:
            with self._lock:
                del self._running[event.id]
        own = event if event.id == running.id else msgspec.structs.replace(event, id=running.id)
        return running.call, own, not running.n_left

    def _count(self, running: _Running, event: Event) -> None:
        totals = self.totals
        if not (isinstance(event, Failed) or running.has_events):
            running.has_events = True
            totals.first_token_seconds.add(time.monotonic() - running.submitted_at)
        if isinstance(event, (Finished, Scores)):
            totals.reply_tokens += event.usage.completion_tokens
            totals.n_requests += not running.n_left
            if isinstance(event, Scores) or event.choice == 0:  # the others share its prompt
                totals.n_cached += event.usage.cached_tokens > 0
                totals.prompt_tokens += event.usage.prompt_tokens
                totals.cached_tokens += event.usage.cached_tokens

    def _calls(self) -> set[_Call]:
        return {each.call for each in self._running.values()} | set(self._turns)

    def _fail_all(self, error: BaseException) -> None:
        for call in self._calls():
            call.fail(error)
        self._running.clear()
        self._turns.clear()


class _Call:
    """The requests of one caller, whose events are put in a queue."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, AnyRequest]] = deque()  # since when
        self.cancellation = Cancellation()
        self.n_open = 0  # requests without their last event

    def put(self, events: list[Delivery]) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Let the caller raise an error."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let the caller, which waits for events, check whether it is cancelled."""
        raise NotImplementedError


class _ThreadCall(_Call):
    """The requests of one `stream`."""

    def __init__(self) -> None:
        super().__init__()
        self.events: SimpleQueue[list[Delivery] | BaseException | None] = SimpleQueue()

    def put(self, events: list[Delivery]) -> None:
        self.events.put(events)

    def fail(self, error: BaseException) -> None:
        self.events.put(error)

    def wake(self) -> None:
        self.events.put(None)


class _LoopCall(_Call):
    """The requests of one `astream`."""

    def __init__(self, queue: LoopQueue[Delivery]) -> None:
        super().__init__()
        self.queue = queue

    def put(self, events: list[Delivery]) -> None:
        self.queue.post(self.queue.add, events)

    def fail(self, error: BaseException) -> None:
        self.queue.post(self.queue.fail, error)

    def wake(self) -> None:
        self.put([])


def _add_all(calls: Iterable[tuple[_LoopCall, list[Delivery]]]) -> None:
    for call, events in calls:
        call.queue.add(events)


class _Running:
    """A request that the engine has read: its id in its call, and the number of choices to come."""

    def __init__(self, call: _Call, id: int, n_left: int, submitted_at: float) -> None:
        self.call, self.id, self.n_left, self.submitted_at = call, id, n_left, submitted_at
        self.has_events = False


class _Either(Cancellation):
    """Cancelled if one of several cancellations is."""

    def __init__(self, *others: Cancellation) -> None:
        super().__init__()
        self._others = others

    @property
    def cancelled(self) -> bool:
        return super().cancelled or any(each.cancelled for each in self._others)
