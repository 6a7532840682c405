"""Several threads on one engine: results, order, failures, cancellation, closing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.loop_queue import LoopQueue
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.shared import SharedEngine
from llmtool.engine.types import (
    Event,
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
)
from llmtool.errors import Cancelled, ClosedError, ContextOverflow, EngineError
from llmtool.toolbox import Toolbox


def text_request(text: str, *, id: int = 0, n: int = 1, **sampling: object) -> Request:
    return Request(
        id=id,
        n=n,
        prompt=Prompt(text=text),
        sampling=Sampling(**{"temperature": 0, **sampling}),  # type: ignore[arg-type]
    )


def reply(engine: SharedEngine | LocalEngine, request: Request) -> str:
    return "".join(e.text for e in engine.stream([request]) if isinstance(e, Token))


@pytest.fixture
def local(tiny: Path) -> Iterator[SharedEngine]:
    stop = Cancellation()
    engine = LocalEngine(load_model(tiny), n_threads=1, cancellation=stop)
    shared = SharedEngine(engine, cancellation=stop)
    yield shared
    shared.close()


def scripted(
    reply: str | Callable[[str], str], scores: Callable[[str, str], float] | None = None
) -> SharedEngine:
    return SharedEngine(ScriptedEngine(reply, scores=scores), cancellation=Cancellation())


def test_threads_get_the_replies_of_their_own_requests() -> None:
    engine = scripted(lambda text: f"reply to {text}")

    def call(i: int) -> list[str]:
        texts = {i: "", i + 1: ""}
        for event in engine.stream([text_request(f"{i}", id=i), text_request("x", id=i + 1)]):
            if isinstance(event, Token):
                texts[event.id] += event.text
        return list(texts.values())

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(call, range(200)))
    assert results == [[f"reply to {i}", "reply to x"] for i in range(200)]


def test_requests_of_threads_are_decoded_together(local: SharedEngine) -> None:
    barrier = threading.Barrier(4)

    def call(i: int) -> int:
        barrier.wait()
        request = text_request(f"story {i}", max_tokens=200, temperature=2, top_k=0, min_p=0)
        for _ in local.stream([request]):
            pass
        return local.progress.n_parallel

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(call, range(4))) > 1


def test_a_request_has_the_same_reply_as_on_the_engine_itself(
    tiny: Path, local: SharedEngine
) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    request = text_request("once upon a time", max_tokens=20)
    assert reply(local, request) == reply(engine, request)
    engine.close()


def test_a_request_with_several_choices_ends_with_the_last() -> None:
    events = list(scripted("hi").stream([text_request("a", n=3), text_request("b", id=1)]))
    ends = [event for event in events if isinstance(event, Finished)]
    assert [(end.id, end.choice) for end in ends] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_a_failed_request_fails_alone() -> None:
    def fail(text: str) -> str:
        if text == "bad":
            raise ContextOverflow("too long", needed=2, available=1)
        return text

    events = list(scripted(fail).stream([text_request("bad"), text_request("good", id=1)]))
    assert [type(event) for event in events] == [Failed, Token, Finished]


def test_scores_and_the_failures_of_the_source_are_passed_on() -> None:
    engine = scripted("", scores=lambda _, text: -float(len(text)))
    failed = Failed(7, EngineError("unreadable"))
    request = ScoreRequest(prompt=Prompt(text="a"), candidates=("x", "xx"), id=1)
    events: list[Event] = list(engine.score([failed, request]))
    assert events[0] is failed
    assert isinstance(events[1], Scores)
    assert events[1].totals == (-1.0, -2.0)


def test_a_source_that_waits_for_replies_is_polled() -> None:
    engine = scripted(lambda text: text + "!")
    replies: list[str] = []

    def requests() -> Iterator[Request | None]:
        yield text_request("a")
        while not replies:
            yield None
        yield text_request(replies[0], id=1)

    for event in engine.stream(requests()):
        if isinstance(event, Token):
            replies.append(event.text)
    assert replies == ["a!", "a!!"]


def test_callers_get_the_events_of_a_step_together() -> None:
    class Stepping(ScriptedEngine):
        def steps(self, requests: Iterator[Request | None]) -> Iterator[list[Event]]:
            """Let each step have a word of each reply."""
            replies = [self.stream([request]) for request in (next(requests), next(requests))]
            for words in zip_longest(*replies):
                yield [each for each in words if each is not None]
            assert next(requests, None) is None

    engine = SharedEngine(Stepping(lambda text: text), cancellation=Cancellation())
    requests = [text_request("a b c", id=5), text_request("d e", id=7)]
    texts = {5: "", 7: ""}
    for event in engine.stream(requests):
        if isinstance(event, Token):
            texts[event.id] += event.text
    assert texts == {5: "a b c", 7: "d e"}
    engine.close()


def assert_stopped(engine: SharedEngine) -> None:
    """Check that no request runs or has finished, and that the engine answers another one."""
    deadline = time.monotonic() + 30
    while engine.progress.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine.progress.running
    assert not engine.progress.finished
    assert reply(engine, text_request("again", max_tokens=3))


def test_an_abandoned_stream_stops_its_requests(local: SharedEngine) -> None:
    endless = text_request("story", max_tokens=1900, temperature=2, top_k=0, min_p=0)
    stream = local.stream([endless])
    next(stream)
    stream.close()
    assert_stopped(local)


def test_a_scope_stops_the_calls_of_its_thread_only(tiny: Path) -> None:
    stop = Cancellation()
    engine = LocalEngine(load_model(tiny), n_threads=1, cancellation=stop)
    shared = SharedEngine(engine, cancellation=stop)
    started, outcome = threading.Event(), []

    def cancelled_call() -> None:
        with scope:
            try:
                long = text_request("story", max_tokens=1900, temperature=2, top_k=0, min_p=0)
                for _ in shared.stream([long]):
                    started.set()
            except Cancelled:
                outcome.append("cancelled")

    scope = stop.scope()
    thread = threading.Thread(target=cancelled_call)
    thread.start()
    assert started.wait(30)
    scope.cancel()
    thread.join(30)
    assert outcome == ["cancelled"]
    assert reply(shared, text_request("other", max_tokens=3))
    shared.close()


def test_a_cancelled_call_does_not_wait_for_the_engine() -> None:
    computing, release, outcome = threading.Event(), threading.Event(), []

    def compute(text: str) -> str:
        computing.set()
        release.wait(30)
        return text

    stop = Cancellation()
    engine = SharedEngine(ScriptedEngine(compute), cancellation=stop)
    scope = stop.scope()

    def call() -> None:
        with scope:
            try:
                reply(engine, text_request("a"))
            except Cancelled:
                outcome.append("cancelled")

    thread = threading.Thread(target=call)
    thread.start()
    assert computing.wait(30)
    scope.cancel()
    thread.join(30)
    assert outcome == ["cancelled"] and not release.is_set()
    release.set()
    engine.close()


def test_an_error_of_the_engine_ends_all_calls_and_the_next_ones_run() -> None:
    broken = [True]

    def fail_once(text: str) -> str:
        if broken.pop() if broken else False:
            raise RuntimeError("out of memory")
        return "fine"

    engine = scripted(fail_once)
    with pytest.raises(RuntimeError, match="out of memory"):
        reply(engine, text_request("a"))
    assert reply(engine, text_request("b")) == "fine"


def test_close_ends_waiting_calls(tiny: Path) -> None:
    stop = Cancellation()
    engine = LocalEngine(load_model(tiny), n_threads=1, cancellation=stop)
    shared = SharedEngine(engine, cancellation=stop)
    started, errors = threading.Event(), []

    def call() -> None:
        try:
            long = text_request("story", max_tokens=1900, temperature=2, top_k=0, min_p=0)
            for _ in shared.stream([long]):
                started.set()
        except ClosedError as exc:
            errors.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    assert started.wait(30)
    shared.close()
    thread.join(30)
    assert errors
    with pytest.raises(ClosedError):
        reply(shared, text_request("a"))


def test_a_forked_child_can_close_a_stream_of_its_parent() -> None:
    engine = scripted("hi")
    stream = engine.stream([text_request("a")])
    next(stream)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(engine._lock.acquire).result()  # as if a thread forked meanwhile
        engine.after_fork()
        stream.close()


def test_the_thread_ends_with_the_last_request() -> None:
    engine = scripted("hi")
    before = threading.active_count()
    reply(engine, text_request("a"))
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_calls_of_a_concurrent_toolbox_run_together(tiny: Path) -> None:
    with Toolbox(tiny, concurrent=True, n_threads=1) as box:
        barrier = threading.Barrier(3)

        def call(i: int) -> int:
            barrier.wait()
            box.generate(f"story {i}", max_tokens=200, temperature=2.0, top_k=0, min_p=0.0)
            return box.engine.progress.n_parallel

        box.generate("load", max_tokens=1)
        with ThreadPoolExecutor(3) as pool:
            assert max(pool.map(call, range(3))) > 1


def take(
    engine: SharedEngine, *requests: Request, act: Callable[[LoopQueue[Any]], object] | None = None
) -> list[list[Event]]:
    """Return the lists of events of an `astream`, during which `act` is called."""

    async def main() -> list[list[Event]]:
        queue = LoopQueue[Any]()
        if act is not None:
            queue.loop.call_later(0.05, act, queue)
        async with aclosing(engine.astream(requests, queue)) as lists:
            return [events async for events in lists]

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_a_task_gets_the_events_of_its_own_requests() -> None:
    engine = scripted(lambda text: f"reply to {text}")

    async def call(i: int) -> list[str]:
        texts = {i: "", i + 1: ""}
        requests = [text_request(f"{i}", id=i), text_request("x", id=i + 1)]
        async with aclosing(engine.astream(requests, LoopQueue())) as lists:
            async for events in lists:
                for event in events:
                    if isinstance(event, Token):
                        texts[event.id] += event.text
        return list(texts.values())

    async def main() -> list[list[str]]:
        return await asyncio.gather(*map(call, range(100)))

    assert asyncio.run(main()) == [[f"reply to {i}", "reply to x"] for i in range(100)]


def test_a_loop_is_woken_once_for_the_events_of_a_step() -> None:
    class Stepping(ScriptedEngine):
        def steps(self, requests: Iterator[Request | None]) -> Iterator[list[Event]]:
            """Let each step have a word of each reply."""
            waiting = islice((each for each in requests if each is not None), 8)
            replies = [self.stream([each]) for each in waiting]
            for words in zip_longest(*replies):
                yield [each for each in words if each is not None]
            assert next(requests, None) is None

    engine = SharedEngine(Stepping(lambda text: text), cancellation=Cancellation())
    n_calls = 0

    async def call(queue: LoopQueue[Any]) -> str:
        text = ""
        async with aclosing(engine.astream([text_request("a b c")], queue)) as lists:
            async for events in lists:
                text += "".join(each.text for each in events if isinstance(each, Token))
        return text

    async def main() -> list[str]:
        nonlocal n_calls
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon_threadsafe

        def count(*args: Any, **options: Any) -> asyncio.Handle:
            nonlocal n_calls
            n_calls += 1
            return call_soon(*args, **options)

        loop.call_soon_threadsafe = count  # type: ignore[method-assign]
        return await asyncio.gather(*(call(LoopQueue()) for _ in range(8)))

    assert asyncio.run(main()) == ["a b c"] * 8
    assert n_calls == 4  # three words, and the ends


def test_an_error_in_the_queue_of_a_task_stops_its_requests(local: SharedEngine) -> None:
    endless = text_request("story", max_tokens=1900, temperature=2, top_k=0, min_p=0)

    def fail(queue: LoopQueue[Any]) -> None:
        if local.progress.running:
            queue.fail(ContextOverflow("", needed=1, available=0))
        else:
            queue.loop.call_later(0.01, fail, queue)

    with pytest.raises(ContextOverflow):
        take(local, endless, act=fail)
    assert_stopped(local)


def test_a_task_is_woken_without_events() -> None:
    release = threading.Event()

    def compute(text: str) -> str:
        assert release.wait(30)
        return text

    lists = take(
        scripted(compute), text_request("a"), act=lambda queue: (queue.add([]), release.set())
    )
    assert lists[0] == []
    assert [type(each) for events in lists for each in events] == [Token, Finished]


def test_an_error_of_the_engine_ends_a_task() -> None:
    def fail(text: str) -> str:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        take(scripted(fail), text_request("a"))


def test_close_ends_a_task_that_waits(local: SharedEngine) -> None:
    endless = text_request("story", max_tokens=1900, temperature=2, top_k=0, min_p=0)
    closing: list[threading.Thread] = []

    def close(_: object) -> None:
        closing.append(threading.Thread(target=local.close))
        closing[0].start()

    with pytest.raises(ClosedError):
        take(local, endless, act=close)
    closing[0].join(30)


def test_a_cancellation_ends_a_task_that_waits() -> None:
    release, stop = threading.Event(), Cancellation()

    def compute(text: str) -> str:
        release.wait(30)
        return text

    engine = SharedEngine(ScriptedEngine(compute), cancellation=stop)
    with pytest.raises(Cancelled):
        take(engine, text_request("a"), act=lambda _: stop.cancel())
    release.set()
