"""Streams of the Python API: events first, then the result."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags
from llmtool.errors import Cancelled, ClosedError, EngineError, OutputValidationError, UsageError
from llmtool.tasks.streams import AsyncStream, Stream
from llmtool.toolbox import Toolbox


@pytest.fixture
def box() -> Toolbox:
    return Toolbox("scripted", engine=ScriptedEngine("one two three"), environ={})


# Each opens a stream whose events have a `text`.
STREAMS: dict[str, Callable[[Toolbox], Stream[Any, Any]]] = {
    "generate": lambda box: box.stream_generate("Count"),
    "summarize": lambda box: box.stream_summarize("one two three", style="headline"),
    "translate": lambda box: box.stream_translate("Count to three.", "English", source="de"),
    "chat": lambda box: box.chat().stream("Count"),
}
ASYNC_STREAMS: dict[str, Callable[[Toolbox], AsyncStream[Any, Any]]] = {
    "generate": lambda box: box.astream_generate("Count"),
    "summarize": lambda box: box.astream_summarize("one two three", style="headline"),
    "translate": lambda box: box.astream_translate("Count to three.", "English", source="de"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_texts_of_the_events_form_the_result(box: Toolbox, name: str) -> None:
    stream = STREAMS[name](box)
    texts = [event.text for event in stream]
    assert "".join(texts) == stream.result.text == "one two three"
    assert list(stream) == []


@pytest.mark.parametrize("name", ASYNC_STREAMS)
def test_texts_of_the_events_form_the_result_for_asyncio(box: Toolbox, name: str) -> None:
    async def run() -> tuple[str, str]:
        stream = ASYNC_STREAMS[name](box)
        texts = [event.text async for event in stream]
        return "".join(texts), stream.result.text

    assert asyncio.run(run()) == ("one two three", "one two three")


def test_result_before_the_end_reads_the_rest(box: Toolbox) -> None:
    stream = box.stream_generate("Count")
    assert next(stream).text == "one"
    assert stream.result.text == "one two three"
    assert list(stream) == []


def test_stream_that_was_closed_early_has_no_result(box: Toolbox) -> None:
    with box.stream_generate("Count") as stream:
        assert next(stream).text == "one"
    assert list(stream) == []
    with pytest.raises(ClosedError, match="closed before its end"):
        _ = stream.result
    assert box.generate("Count").text == "one two three"


def test_close_after_the_end_preserves_the_result(box: Toolbox) -> None:
    with box.stream_generate("Count") as stream:
        list(stream)
    stream.close()
    assert stream.result.text == "one two three"


def test_reply_of_a_closed_chat_stream_is_in_the_chat(box: Toolbox) -> None:
    chat = box.chat()
    with chat.stream("Count") as stream:
        next(stream)
    assert (chat.turns[0].text, chat.turns[0].finish_reason) == ("one", "interrupted")


def test_error_is_raised_by_iteration_and_again_by_the_result(box: Toolbox) -> None:
    stream = box.stream_generate("Count", regex="[0-9]+")
    for _ in range(2):
        with pytest.raises(OutputValidationError):
            _ = stream.result
    with pytest.raises(OutputValidationError):
        list(box.stream_generate("Count", regex="[0-9]+"))


def test_text_of_a_token_is_the_reply_without_its_reasoning() -> None:
    engine = ScriptedEngine(
        "<think>hm hm</think>Yes.", reasoning_tags=ReasoningTags("<think>", "</think>")
    )
    tokens = list(Toolbox("scripted", engine=engine, environ={}).stream_generate("Well?"))
    assert "".join(token.text for token in tokens) == "Yes."
    assert "".join(token.reasoning for token in tokens) == "hm hm"


def test_repr_is_short_and_names_the_state(box: Toolbox) -> None:
    stream = box.stream_generate("Count")
    assert repr(stream) == "<Stream of Generation, open>"
    list(stream)
    assert repr(stream) == "<Stream of Generation, ended>"
    assert repr(box.astream_translate("x", "fr")) == "<AsyncStream of Translation, open>"


class TestAsyncio:
    def test_result_before_the_end_is_an_error_that_names_finish(self, box: Toolbox) -> None:
        async def run() -> str:
            stream = box.astream_generate("Count")
            await stream.__anext__()
            with pytest.raises(EngineError, match="finish"):
                _ = stream.result
            return (await stream.finish()).text

        assert asyncio.run(run()) == "one two three"

    def test_stream_that_was_closed_early_has_no_result(self, box: Toolbox) -> None:
        async def run() -> str:
            async with box.astream_generate("Count") as stream:
                await stream.__anext__()
            with pytest.raises(ClosedError, match="closed before its end"):
                _ = stream.result
            async with box.astream_generate("Count") as unread:
                pass
            with pytest.raises(ClosedError, match="closed before its end"):
                _ = unread.result
            return (await box.agenerate("Count")).text

        assert asyncio.run(run()) == "one two three"

    @pytest.mark.parametrize(
        ("options", "error"),
        [({"regex": "[0-9]+"}, OutputValidationError), ({"temperature": -1}, UsageError)],
        ids=["while it runs", "before it starts"],
    )
    def test_error_is_raised_by_iteration_and_again_by_the_result(
        self, box: Toolbox, options: dict[str, Any], error: type[Exception]
    ) -> None:
        async def run() -> None:
            stream = box.astream_generate("Count", **options)
            with pytest.raises(error):
                async for _ in stream:
                    pass
            with pytest.raises(error):
                _ = stream.result

        asyncio.run(run())

    def test_cancelled_task_leaves_a_stream_without_result(self) -> None:
        box = Toolbox("scripted", engine=ScriptedEngine("word " * 400), environ={})
        stream = box.astream_generate("continue")

        async def cancel() -> None:
            began = asyncio.Event()

            async def read() -> None:
                async for _ in stream:
                    began.set()

            task = asyncio.create_task(read())
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        with pytest.raises((Cancelled, ClosedError)):  # while the model ran, or between tokens
            _ = stream.result

    def test_streams_of_several_tasks_take_turns(self, box: Toolbox) -> None:
        async def read() -> str:
            return "".join([token.text async for token in box.astream_generate("Count")])

        async def run() -> list[str]:
            return await asyncio.gather(*(read() for _ in range(4)))

        assert asyncio.run(run()) == ["one two three"] * 4

    @pytest.mark.parametrize("leave", ["break", "return", "raise"])
    @pytest.mark.parametrize("events", ["stream", "each"])
    def test_model_is_free_at_once_after_a_loop_is_left(
        self, box: Toolbox, leave: str, events: str
    ) -> None:
        async def read() -> None:
            many: dict[str, Callable[[], AsyncIterator[Any]]] = {
                "stream": lambda: box.astream_generate("Count"),
                "each": lambda: box.aclassify_each(["a", "b"], ["x", "y"]),
            }
            async for _ in many[events]():
                if leave == "return":
                    return
                if leave == "raise":
                    raise LookupError
                break

        async def run() -> str:
            with suppress(LookupError):
                await read()
            return (await box.agenerate("Count")).text

        gc.disable()
        try:
            assert asyncio.run(run()) == "one two three"
        finally:
            gc.enable()

    def test_call_in_the_loop_over_a_stream_is_an_error_in_any_task(self, box: Toolbox) -> None:
        async def run() -> list[BaseException | None]:
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: box.agenerate("Count"),
                lambda: asyncio.gather(box.agenerate("Count"), box.agenerate("Count")),
                lambda: asyncio.wait_for(box.agenerate("Count"), 60),
                lambda: box.astream_generate("Count").finish(),
                lambda: asyncio.to_thread(box.generate, "Count"),
            ]
            errors: list[BaseException | None] = []
            async for _ in box.astream_generate("Count"):
                results = [await asyncio.gather(call(), return_exceptions=True) for call in calls]
                errors += [error for (error,) in results]
                break
            assert (await box.agenerate("Count")).text == "one two three"
            return errors

        errors = asyncio.run(run())
        assert [type(error) for error in errors] == [EngineError] * 5
        assert {str(error).split(";")[0] for error in errors} == {"a reply is still being streamed"}

    def test_other_task_waits_for_the_end_of_a_stream(self, box: Toolbox) -> None:
        async def run() -> str:
            begun = asyncio.Event()

            async def other() -> str:
                await begun.wait()
                return (await box.agenerate("Count")).text

            waiting = asyncio.create_task(other())
            async for _ in box.astream_generate("Count"):
                begun.set()
                await asyncio.sleep(0)
            return await waiting

        assert asyncio.run(run()) == "one two three"

    def test_loop_that_ends_closes_an_open_stream(self, box: Toolbox) -> None:
        errors: list[dict[str, Any]] = []

        async def run() -> AsyncStream[Any, Any]:
            asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
            stream = box.astream_generate("Count")
            await stream.__anext__()
            return stream

        streams = [asyncio.run(run()) for _ in range(5)]
        assert not errors
        assert [await_next(stream) for stream in streams] == [None] * 5
        assert box.generate("Count").text == "one two three"


def await_next(stream: AsyncStream[Any, Any]) -> Any:
    """Return the next event, None at the end."""

    async def read() -> Any:
        return await anext(stream, None)

    return asyncio.run(read())
