"""`timeout=` stops a call and `Toolbox.time_limit` a block; the toolbox stays usable."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llmtool.cancellation import Cancellation
from llmtool.config import Folders
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import Cancelled, TimeoutExpired, UsageError
from llmtool.toolbox import Toolbox


def test_expired_limit_stops_a_call_and_the_next_call_works(box: Toolbox) -> None:
    with box:
        with pytest.raises(TimeoutExpired, match="not finished after 0.2 s") as expired:
            with box.time_limit(0.2):
                box.generate("Go on", max_tokens=60000)
        assert isinstance(expired.value, TimeoutError) and expired.value.seconds == 0.2
        with box.time_limit(60):
            assert box.generate("Go on", max_tokens=2).usage.completion_tokens == 2


def test_other_cancellation_stays_cancelled(box: Toolbox) -> None:
    with pytest.raises(Cancelled) as stopped, box.time_limit(60):
        box.cancellation.cancel()
        box.cancellation.check()
    assert not isinstance(stopped.value, TimeoutExpired)
    assert box.cancellation.cancelled


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_limit_must_be_above_0(box: Toolbox, seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds=.*: must be"), box.time_limit(seconds):
        pass


class Endless(ScriptedEngine):
    """An engine that never answers."""

    def stream(self, requests: Iterable[Any]) -> Iterator[Any]:
        yield self._wait(requests)

    score = stream

    def _wait(self, requests: Iterable[Any]) -> NoReturn:
        next(iter(requests))
        while True:
            self.cancellation.check()
            time.sleep(0.001)


@pytest.fixture
def endless(tmp_path: Path) -> Toolbox:
    cancellation = Cancellation()
    engine = Endless(cancellation=cancellation)
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    return Toolbox(engine=engine, cancellation=cancellation, folders=folders, environ={})


DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
RECORDS = [{"text": f"Rain {i}.", "expected": "Rain"} for i in range(25)]
# A call of each task with a time limit; those with `list` return an iterator.
CALLS: dict[str, Callable[..., Any]] = {
    "generate": lambda box, **o: box.generate("Hi", **o),
    "generate, list": lambda box, **o: box.generate(["Hi", "Ho"], **o),
    "generate, iterator": lambda box, **o: list(box.generate(iter(["Hi", "Ho"]), **o)),
    "generate, messages": lambda box, **o: box.generate(
        messages=[{"role": "user", "content": "Hi"}], **o
    ),
    "stream_generate": lambda box, **o: list(box.stream_generate("Hi", **o)),
    "stream_generate, result": lambda box, **o: box.stream_generate("Hi", **o).result,
    "run": lambda box, **o: box.run("title", "Rain.", **o),
    "run, labels": lambda box, **o: box.run("sentiment", ["Rain."], **o),
    "run_each": lambda box, **o: list(box.run_each("title", ["Rain."], **o)),
    "classify": lambda box, **o: box.classify("Hi", ["a", "b"], **o),
    "classify, iterator": lambda box, **o: list(box.classify(iter(["Hi"]), ["a", "b"], **o)),
    "calibrate": lambda box, **o: box.calibrate([("a", "a"), ("b", "b")] * 15, ["a", "b"], **o),
    "summarize": lambda box, **o: box.summarize("A text.", **o),
    "stream_summarize": lambda box, **o: list(box.stream_summarize("A text.", **o)),
    "translate": lambda box, **o: box.translate("A text.", "French", **o),
    "stream_translate": lambda box, **o: box.stream_translate("A text.", "French", **o).result,
    "write_code": lambda box, **o: box.write_code("a function", **o),
    "explain_code": lambda box, **o: box.explain_code("x = 1", **o),
    "review_code": lambda box, **o: box.review_code(DIFF, **o),
    "fix_code": lambda box, **o: box.fix_code("x = ", "an error", **o),
    "write_tests": lambda box, **o: box.write_tests("x = 1", **o),
    "complete_code": lambda box, **o: box.complete_code("x = ", **o),
    "commit_message": lambda box, **o: box.commit_message(DIFF, **o),
    "tune": lambda box, **o: box.tune("title", RECORDS, **o),
    "chat": lambda box, timeout: box.chat(timeout=timeout).say("Hi"),
    "say": lambda box, **o: box.chat(timeout=60).say("Hi", **o),
    "chat stream": lambda box, **o: list(box.chat().stream("Hi", **o)),
}
ASYNC_CALLS: dict[str, Callable[..., Any]] = {
    "agenerate": lambda box, **o: box.agenerate("Hi", **o),
    "astream_generate": lambda box, **o: box.astream_generate("Hi", **o).finish(),
    "agenerate_each": lambda box, **o: anext(box.agenerate_each(["Hi"], **o)),
    "arun": lambda box, **o: box.arun("title", "Rain.", **o),
    "arun_each": lambda box, **o: anext(box.arun_each("title", ["Rain."], **o)),
    "aclassify": lambda box, **o: box.aclassify("Hi", ["a", "b"], **o),
    "asummarize": lambda box, **o: box.asummarize("A text.", **o),
    "astream_translate": lambda box, **o: box.astream_translate("Hi", "French", **o).finish(),
    "awrite_code": lambda box, **o: box.awrite_code("a function", **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_ends_at_its_time_limit(endless: Toolbox, name: str) -> None:
    with pytest.raises(TimeoutExpired, match="not finished after 0.02 s; allow") as expired:
        CALLS[name](endless, timeout=0.02)
    assert expired.value.seconds == 0.02
    with pytest.raises(UsageError, match="timeout=-1: must be above 0"):
        CALLS[name](endless, timeout=-1)
    with pytest.raises(UsageError, match="timeout='5': must be a number or None"):
        CALLS[name](endless, timeout="5")


@pytest.mark.parametrize("name", ASYNC_CALLS)
def test_asyncio_call_ends_at_its_time_limit(endless: Toolbox, name: str) -> None:
    async def run(timeout: object) -> object:
        return await ASYNC_CALLS[name](endless, timeout=timeout)

    with pytest.raises(TimeoutExpired, match="not finished after 0.02 s"):
        asyncio.run(run(0.02))
    with pytest.raises(UsageError, match="timeout=0: must be above 0"):
        asyncio.run(run(0))


def test_every_call_that_runs_the_model_has_a_time_limit() -> None:
    others = {"after_fork", "close", "prepare_batch", "time_limit", "tokenize", "tune"}
    others.add("warm_up")
    for name, method in inspect.getmembers(Toolbox, callable):
        if name[0] != "_" and name not in others:
            annotation = inspect.signature(method).parameters["timeout"].annotation
            assert str(annotation) == "float | None", name
            task = name.removeprefix("a").removesuffix("_each")
            assert name == "request" or task in {each.split(",")[0] for each in CALLS}, name


def test_error_of_an_asyncio_stream_is_that_of_its_result(endless: Toolbox) -> None:
    async def run() -> None:
        stream = endless.astream_generate("Hi", timeout=0.02)
        for _ in range(2):
            with pytest.raises(TimeoutExpired):
                await stream.finish()

    asyncio.run(run())


def test_results_before_the_limit_are_yielded(tmp_path: Path) -> None:
    cancellation = Cancellation()

    def reply(prompt: str) -> str:
        while "second" in prompt:
            cancellation.check()
        return "Hello"

    engine = ScriptedEngine(reply, cancellation=cancellation)
    box = Toolbox(engine=engine, cancellation=cancellation, environ={})
    results = box.run_each("title", ["first", "second"], timeout=0.5)
    assert str(next(results)) == "Hello"
    with pytest.raises(TimeoutExpired):
        assert [type(each) for each in results] == [Cancelled]


def test_limit_includes_the_wait_for_another_call_of_the_event_loop(endless: Toolbox) -> None:
    async def run() -> None:
        first = asyncio.create_task(endless.agenerate("Hi"))
        await asyncio.sleep(0)
        for call in (endless.agenerate, lambda *a, **o: endless.astream_generate(*a, **o).finish()):
            with pytest.raises(TimeoutExpired):
                await call("Ho", timeout=0.02)
        with pytest.raises(TimeoutExpired), endless.time_limit(0.02):
            await endless.agenerate("Ho")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_limit_of_a_stream_is_for_all_of_it(box: Toolbox) -> None:
    with box:
        assert box.engine
        stream = box.stream_generate("Go on", max_tokens=60000, timeout=0.3)
        with pytest.raises(TimeoutExpired):
            for _ in stream:
                box.cancellation.check()  # the body of the loop is not in the limit
        with pytest.raises(TimeoutExpired):
            _ = stream.result
        assert box.generate("Go on", max_tokens=1).usage.completion_tokens == 1


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "abandoned"])
def test_timer_ends_with_its_call(is_read: bool) -> None:
    box = Toolbox(engine=ScriptedEngine("a b c"), environ={})
    stream = box.stream_generate("Go on", timeout=3600)
    if is_read:
        list(stream)
    del stream
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)
            assert not thread.is_alive()
