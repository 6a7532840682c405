"""OpenAI's own client: conversations, schemas, errors, cancellation, options that it sends."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from running_server import Gate, Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags

HELLO: Any = [{"role": "user", "content": "hello"}]
LONG = {"max_tokens": 1900, "n": 32, "temperature": 2}


class Weather(BaseModel):
    sky: Literal["clear", "cloudy"]
    warm: bool


@pytest.fixture(scope="module", autouse=True)
def client_library() -> None:
    """Import the library only in a process that runs these tests, since it takes a second."""
    global openai
    import openai


def connect(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, **options)


def test_a_streamed_conversation(serve: Serve) -> None:
    engine = ScriptedEngine(["Good day.", "Fine, thanks."])
    client = connect(serve(engine))
    messages, texts = list(HELLO), []
    for question in ("How are you?", "Good."):
        with client.chat.completions.stream(model="tiny", messages=messages) as stream:
            for event in stream:
                assert event.type != "error"
            message = stream.get_final_completion().choices[0].message
        texts.append(message.content)
        messages += [message.to_dict(), {"role": "user", "content": question}]
    assert texts == ["Good day.", "Fine, thanks."]
    assert engine.prompts[1].endswith("assistant: Good day.\nuser: How are you?")


def test_usage_and_reasoning_of_a_stream(serve: Serve) -> None:
    tags = ReasoningTags("<think>", "</think>")
    client = connect(serve(ScriptedEngine("<think>Hm.</think>Yes sir.", reasoning_tags=tags)))
    stream = client.chat.completions.create(
        model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.usage is not None and last.usage.completion_tokens > 0
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas).strip() == "Yes sir."
    reasoning = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(reasoning).strip() == "Hm."


def test_a_schema_is_parsed(server: Server) -> None:
    client = connect(server)
    reply = client.chat.completions.parse(model="tiny", messages=HELLO, response_format=Weather)
    assert isinstance(reply.choices[0].message.parsed, Weather)
    response = client.responses.parse(model="tiny", input="hello", text_format=Weather)
    assert isinstance(response.output_parsed, Weather)
    with client.responses.stream(model="tiny", input="hello", text_format=Weather) as stream:
        for event in stream:
            assert event.type != "error"
        assert isinstance(stream.get_final_response().output_parsed, Weather)


def test_a_response_is_streamed_and_continued(serve: Serve) -> None:
    tags = ReasoningTags("<think>", "</think>")
    engine = ScriptedEngine("<think>Hm.</think>Yes sir.", reasoning_tags=tags)
    client = connect(serve(engine))
    items: Any = list(HELLO)
    with client.responses.stream(model="tiny", input=items, reasoning={"effort": "low"}) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert "response.reasoning_text.delta" in kinds and "response.output_text.delta" in kinds
    assert response.output_text.strip() == "Yes sir."
    items += [item.to_dict() for item in response.output]
    client.responses.create(model="tiny", input=[*items, {"role": "user", "content": "Why?"}])
    assert engine.prompts[1].splitlines()[-1] == "user: Why?"


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"model": "gpt-4"}, "NotFoundError", "model_not_found"),
        ({"tools": [{"type": "function"}]}, "BadRequestError", "unsupported_option"),
        ({"extra_body": {"tempratur": 1}}, "BadRequestError", "unknown_option"),
        (
            {"messages": [{"role": "user", "content": "word " * 3000}]},
            "BadRequestError",
            "context_length_exceeded",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_and_code(
    server: Server, change: Any, error: str, code: str, stream: bool
) -> None:
    request = {"model": "tiny", "messages": HELLO, "stream": stream, **change}
    with pytest.raises(getattr(openai, error)) as caught:
        connect(server).chat.completions.create(**request)
    assert (caught.value.code, caught.value.type) == (code, "invalid_request_error")


def test_a_wrong_key(serve: Serve) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        connect(serve(ScriptedEngine("Hi"), keys=["secret"])).models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_full_queue(serve: Serve) -> None:
    gate = Gate()
    client = connect(serve(ScriptedEngine(gate), max_running=1, max_queue=0))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(client.chat.completions.create, model="tiny", messages=HELLO)
        assert gate.reached.acquire(timeout=30)
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="tiny", messages=HELLO)
        gate.opened.set()
        assert running.result().choices[0].message.content == "done"
    assert (caught.value.status_code, caught.value.code) == (503, "queue_full")


def test_an_error_within_a_stream_is_raised(endless: Path, serve: Serve) -> None:
    client = connect(serve(endless, timeout=1))
    client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=1)
    with pytest.raises(openai.APIError, match="not finished after 1 s"):
        list(client.chat.completions.create(model="tiny", messages=HELLO, stream=True, **LONG))


def test_leaving_a_stream_stops_the_request(endless: Path, serve: Serve) -> None:
    server = serve(endless)
    client = connect(server)
    with client.chat.completions.create(model="tiny", messages=HELLO, stream=True, **LONG) as reply:
        for chunk in reply:
            if chunk.choices[0].delta.content:
                break
    assert server.stops()


def test_cancelling_a_task_and_a_timeout_stop_the_request(endless: Path, serve: Serve) -> None:
    server = serve(endless)

    async def cancel() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            request = client.chat.completions.create(model="tiny", messages=HELLO, **LONG)
            task = asyncio.ensure_future(request)
            progress = server.service.boxes["tiny"].engine.progress
            await asyncio.to_thread(server.wait_until, lambda: bool(progress.running))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    assert server.stops()
    with pytest.raises(openai.APITimeoutError):
        connect(server, timeout=0.5).chat.completions.create(model="tiny", messages=HELLO, **LONG)
    assert server.stops()


def test_options_that_have_no_effect_are_accepted(serve: Serve) -> None:
    client = connect(serve(ScriptedEngine("Hi")))
    common: Any = {
        "model": "tiny",
        "metadata": {"run": "1"},
        "store": False,
        "service_tier": "auto",
        "user": "me",
        "safety_identifier": "me",
        "prompt_cache_key": "x",
        "parallel_tool_calls": True,
        "top_p": 1,
    }
    reply = client.chat.completions.create(
        messages=HELLO,
        stream_options={"include_usage": True, "include_obfuscation": False},
        stream=True,
        n=1,
        logit_bias={},
        frequency_penalty=0,
        presence_penalty=0,
        modalities=["text"],
        verbosity="medium",
        response_format={"type": "text"},
        tool_choice="none",
        tools=[],
        prompt_cache_retention="in_memory",
        **common,
    )
    assert list(reply)
    response = client.responses.create(
        input="hello",
        text={"format": {"type": "text"}, "verbosity": "medium"},
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        background=False,
        tools=[],
        tool_choice="auto",
        max_tool_calls=1,
        prompt_cache_retention="in_memory",
        **common,
    )
    assert response.output_text == "Hi"


def test_completions_are_streamed_and_scored(server: Server) -> None:
    client = connect(server)
    chunks = client.completions.create(
        model="tiny", prompt=["one", "two"], stream=True, max_tokens=4, temperature=0
    )
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    scored = client.completions.create(
        model="tiny", prompt="a b c", echo=True, logprobs=1, max_tokens=0
    )
    assert scored.choices[0].logprobs is not None


def test_models_are_listed(server: Server) -> None:
    client = connect(server)
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
