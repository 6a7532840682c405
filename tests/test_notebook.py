"""A notebook: cells run one after another in an event loop that never stops between them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmtool.errors import EngineError
from llmtool.toolbox import Toolbox

Cell = Callable[[Coroutine[Any, Any, Any]], Any]
SHORT: dict[str, Any] = {"max_tokens": 4, "temperature": 0}


@pytest.fixture
def run_cell() -> Iterator[Cell]:
    """Run a coroutine as a notebook runs a cell: `run_cell(code())`."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


def test_both_forms_work_in_cells(box: Toolbox, run_cell: Cell) -> None:
    async def blocking() -> list[str]:
        with box.stream_generate("hello", **SHORT) as stream:
            text = "".join(token.text for token in stream)
        return [box.generate("hello", **SHORT).text, text, stream.result.text]

    async def awaited() -> list[str]:
        stream = box.astream_generate("hello", **SHORT)
        text = "".join([token.text async for token in stream])
        replies = await asyncio.gather(*(box.agenerate("hello", **SHORT) for _ in range(2)))
        return [text, stream.result.text, *(reply.text for reply in replies)]

    async def in_threads() -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            replies = pool.map(lambda text: box.generate(text, **SHORT), ["hello"] * 2)
            return [reply.text for reply in replies]

    (text,) = set(run_cell(blocking()))
    for cell in (awaited, in_threads, blocking):
        assert set(run_cell(cell())) == {text}


def test_task_of_one_cell_continues_in_the_next(box: Toolbox, run_cell: Cell) -> None:
    async def start() -> asyncio.Task[Any]:
        return asyncio.create_task(box.agenerate("hello", **SHORT))

    async def other() -> str:
        return box.generate("hello", **SHORT).text

    async def finish(task: asyncio.Task[Any]) -> str:
        return (await task).text

    task = run_cell(start())
    assert run_cell(other()) == run_cell(finish(task))


def test_open_stream_of_a_cell_is_reported_in_the_next(box: Toolbox, run_cell: Cell) -> None:
    async def start() -> Any:
        stream = box.astream_generate("hello", max_tokens=60000)
        await anext(stream)
        return stream

    async def blocking() -> None:
        box.generate("hello", **SHORT)

    async def close(stream: Any) -> None:
        await stream.aclose()

    stream = run_cell(start())
    with pytest.raises(EngineError, match="another reply of this event loop is not finished"):
        run_cell(blocking())
    run_cell(close(stream))
    run_cell(blocking())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupt_stops_the_await_of_a_cell(box: Toolbox, run_cell: Cell) -> None:
    was_stopped = []

    def work() -> None:
        time.sleep(0.1)  # until the loop is idle
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(400):
            if box.cancellation.cancelled:
                was_stopped.append(True)
                return
            time.sleep(0.01)

    async def cell() -> None:
        task = asyncio.current_task()
        assert task is not None
        # As ipykernel does; unlike `call_soon_threadsafe`, this does not wake an idle loop.
        old = signal.signal(signal.SIGINT, lambda *_: task.cancel())
        try:
            await box.context.bridge.call(work)
        finally:
            signal.signal(signal.SIGINT, old)

    with pytest.raises(asyncio.CancelledError):
        run_cell(cell())
    assert was_stopped


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_of_a_cell_loads_its_own_model(box: Toolbox, run_cell: Cell) -> None:
    def reply(queue: Any) -> None:
        queue.put(box.generate("hello", **SHORT).text)

    async def cell() -> tuple[str, str]:
        text = (await box.agenerate("hello", **SHORT)).text
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=reply, args=(queue,))
        process.start()
        found = queue.get(timeout=60)
        process.join()
        return text, found

    text, found = run_cell(cell())
    assert found == text
