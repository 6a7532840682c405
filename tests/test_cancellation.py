"""A cancelled call stops alone; the calls of other threads and event loops continue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.errors import Cancelled, TimeoutExpired
from llmtool.local_model import LocalModel
from llmtool.toolbox import Toolbox

SHORT: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
ENDLESS: dict[str, Any] = {"max_tokens": 60000, "temperature": 0}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set when a batch is decoded."""
    begun, decode = threading.Event(), Context.decode

    def note(self: Context) -> None:
        begun.set()
        decode(self)

    monkeypatch.setattr(Context, "decode", note)
    return begun


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set when a call waits for the one that runs."""
    begun, check = threading.Event(), LocalEngine._check_not_stopped

    def note(self: LocalEngine) -> None:
        if self._stream_lock.locked():
            begun.set()
        check(self)

    monkeypatch.setattr(LocalEngine, "_check_not_stopped", note)
    return begun


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


def test_calls_of_other_threads_and_loops_continue_after_a_task_is_cancelled(
    box: Toolbox, pool: ThreadPoolExecutor, decoding: threading.Event, waiting: threading.Event
) -> None:
    expected = box.generate("hello", **SHORT).text
    decoding.clear()
    others: list[Future[Any]] = []

    async def run() -> None:
        task = asyncio.create_task(box.agenerate("Go on", **ENDLESS))
        await wait_for(decoding)
        others.append(pool.submit(lambda: box.generate("hello", **SHORT)))
        others.append(pool.submit(asyncio.run, box.agenerate("hello", **SHORT)))
        await wait_for(waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await box.agenerate("hello", **SHORT)).text == expected

    asyncio.run(run())
    assert [each.result().text for each in others] == [expected] * 2
    assert not box.cancellation.cancelled


@pytest.fixture
def running(box: Toolbox, pool: ThreadPoolExecutor) -> Iterator[Future[int]]:
    """A stream that is read in another thread until the end of the test."""
    begun, end = threading.Event(), threading.Event()

    def read() -> int:
        n_tokens = 0
        with box.stream_generate("Go on", **ENDLESS) as stream:
            while not end.is_set() and next(stream):
                n_tokens += 1
                begun.set()
        return n_tokens

    reading = pool.submit(read)
    begun.wait()
    yield reading
    end.set()
    assert reading.result(), "it continued"


def test_waiting_call_is_cancelled_and_the_running_one_continues(
    box: Toolbox, running: Future[int], waiting: threading.Event
) -> None:
    async def run() -> None:
        task = asyncio.create_task(box.agenerate("hello", **SHORT))
        await wait_for(waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not running.done()


def test_time_limit_stops_only_the_calls_of_its_block(box: Toolbox, running: Future[int]) -> None:
    with pytest.raises(TimeoutExpired), box.time_limit(0.1):
        box.generate("hello", **SHORT)
    assert not running.done()


@pytest.mark.parametrize("inner", [60, 0.1], ids=["outer limit", "inner limit"])
def test_limits_can_be_nested(box: Toolbox, inner: float) -> None:
    with pytest.raises(TimeoutExpired) as expired, box.time_limit(0.1 if inner == 60 else 60):
        with box.time_limit(inner):
            box.generate("Go on", **ENDLESS)
    assert expired.value.seconds == 0.1
    assert box.generate("hello", max_tokens=2).usage.completion_tokens == 2


def test_limit_includes_the_asyncio_calls_of_its_block(box: Toolbox) -> None:
    async def run() -> list[Any]:
        with box.time_limit(0.1):
            calls = [box.agenerate("Go on", **ENDLESS) for _ in range(2)]
            return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(each) for each in asyncio.run(run())] == [Cancelled] * 2
    assert box.generate("hello", max_tokens=2).usage.completion_tokens == 2


def test_task_that_is_cancelled_twice_waits_for_the_engine(
    box: Toolbox, decoding: threading.Event
) -> None:
    async def run() -> None:
        task = asyncio.create_task(box.astream_generate("Go on", **ENDLESS).finish())
        await wait_for(decoding)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await box.agenerate("hello", max_tokens=2)).usage.completion_tokens == 2

    asyncio.run(run())


def test_cancellation_of_the_toolbox_stops_the_calls_of_all_threads(
    box: Toolbox, pool: ThreadPoolExecutor, decoding: threading.Event, waiting: threading.Event
) -> None:
    calls = [pool.submit(lambda: box.generate("Go on", **ENDLESS))]
    decoding.wait()
    calls.append(pool.submit(asyncio.run, box.agenerate("Go on", **ENDLESS)))
    waiting.wait()
    box.cancellation.cancel()
    assert [type(each.exception()) for each in calls] == [Cancelled] * 2
    box.cancellation.reset()
    assert box.generate("hello", max_tokens=2).usage.completion_tokens == 2


def test_cancelled_call_does_not_stop_a_load_in_the_background(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loading, end = LocalModel._load, threading.Event(), threading.Event()
    loads = []

    def wait(self: LocalModel) -> Any:
        loads.append(self)
        loading.set()
        end.wait()
        return load(self)

    monkeypatch.setattr(LocalModel, "_load", wait)
    box.warm_up()
    loading.wait()
    with pytest.raises(TimeoutExpired), box.time_limit(0.05):
        box.generate("hello", **SHORT)
    end.set()
    assert box.generate("hello", max_tokens=2).usage.completion_tokens == 2
    assert len(loads) == 1


def test_blocking_call_waits_for_a_call_of_its_event_loop(
    box: Toolbox, decoding: threading.Event
) -> None:
    expected = box.generate("hello", **SHORT).text
    decoding.clear()

    async def run() -> tuple[str, str]:
        task = asyncio.create_task(box.agenerate("hello", **SHORT))
        await wait_for(decoding)
        return box.generate("hello", **SHORT).text, (await task).text

    assert asyncio.run(run()) == (expected, expected)


class TestScopes:
    def test_native_code_stops_if_its_scope_is_cancelled(self) -> None:
        cancellation = Cancellation()
        with cancellation.scope() as scope, cancellation.running_native():
            assert not cancellation.flag[0]
            scope.cancel()
            assert cancellation.flag[0]
        with cancellation.running_native():
            assert not cancellation.flag[0]
        assert not cancellation.cancelled

    def test_native_code_of_another_scope_continues(self) -> None:
        cancellation, other = Cancellation(), Cancellation()
        scope = cancellation.scope()
        with other.scope(), cancellation.running_native():
            scope.cancel()
            assert not cancellation.flag[0] and not cancellation.cancelled
        with scope:
            assert cancellation.cancelled and not other.cancelled
            with cancellation.running_native():
                assert cancellation.flag[0], "it was cancelled before"

    def test_signal_during_native_code_stays(self) -> None:
        cancellation = Cancellation()
        with cancellation.running_native():
            cancellation.cancel(2)
            assert cancellation.flag[0]
        with pytest.raises(Cancelled) as stopped:
            cancellation.check()
        assert stopped.value.reason == 2 and cancellation.flag[0]
