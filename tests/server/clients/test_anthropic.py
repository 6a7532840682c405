"""Anthropic's own client: conversations, schemas, errors, cancellation, options that it sends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from running_server import Gate, Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags

HELLO: Any = [{"role": "user", "content": "hello"}]
TAGS = ReasoningTags("<think>", "</think>")


class Weather(BaseModel):
    sky: Literal["clear", "cloudy"]
    warm: bool


@pytest.fixture(scope="module", autouse=True)
def client_library() -> None:
    """Import the library only in a process that runs these tests, since it takes a second."""
    global anthropic
    import anthropic


def connect(server: Server, **options: Any) -> anthropic.Anthropic:
    options = {"api_key": "none", "max_retries": 0, **options}
    return anthropic.Anthropic(base_url=server.url, **options)


def test_a_streamed_conversation(serve: Serve) -> None:
    engine = ScriptedEngine(["Good day.", "Fine, thanks."])
    client = connect(serve(engine))
    messages, texts = list(HELLO), []
    for question in ("How are you?", "Good."):
        with client.messages.stream(model="tiny", messages=messages, max_tokens=50) as stream:
            texts.append("".join(stream.text_stream))
            message = stream.get_final_message()
        assert message.stop_reason == "end_turn" and message.usage.output_tokens > 0
        messages += [
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": question},
        ]
    assert texts == ["Good day.", "Fine, thanks."]
    assert engine.prompts[1].endswith("assistant: Good day.\nuser: How are you?")


def test_reasoning_is_a_block_of_its_own(serve: Serve) -> None:
    client = connect(serve(ScriptedEngine("<think>Hm.</think>Yes sir.", reasoning_tags=TAGS)))
    request: Any = {
        "model": "tiny",
        "messages": HELLO,
        "max_tokens": 50,
        "thinking": {"type": "enabled", "budget_tokens": 20},
    }
    with client.messages.stream(**request) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert "thinking" in kinds and "text" in kinds
    for message in (streamed, client.messages.create(**request)):
        assert [block.type for block in message.content] == ["thinking", "text"]
        messages = [*HELLO, {"role": "assistant", "content": message.content}, *HELLO]
        assert client.messages.create(**{**request, "messages": messages}).content


def test_a_schema_is_parsed(server: Server) -> None:
    client = connect(server)
    request: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 100}
    message = client.messages.parse(**request, output_format=Weather)
    assert isinstance(message.parsed_output, Weather)
    with client.messages.stream(**request, output_format=Weather) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_message().parsed_output, Weather)


@pytest.mark.parametrize(
    ("change", "error", "kind", "message"),
    [
        ({"model": "claude"}, "NotFoundError", "not_found_error", "no model 'claude'"),
        (
            {"tools": [{"name": "x", "input_schema": {"type": "object"}}]},
            "BadRequestError",
            "invalid_request_error",
            "tools is not supported",
        ),
        (
            {"messages": [{"role": "user", "content": "word " * 3000}]},
            "BadRequestError",
            "invalid_request_error",
            "2,048",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_and_type(
    server: Server,
    change: Any,
    error: str,
    kind: str,
    message: str,
    stream: bool,
) -> None:
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 9, "stream": stream, **change}
    with pytest.raises(getattr(anthropic, error), match=message) as caught:
        connect(server).messages.create(**request)
    assert caught.value.type == kind


def test_a_wrong_key(serve: Serve) -> None:
    request: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 9}
    guarded = serve(ScriptedEngine("Hi"), keys=["secret"])
    with pytest.raises(anthropic.AuthenticationError):
        connect(guarded).messages.create(**request)
    for options in ({"api_key": "secret"}, {"api_key": None, "auth_token": "secret"}):
        assert connect(guarded, **options).messages.create(**request).content


def test_a_full_queue(serve: Serve) -> None:
    gate = Gate()
    client = connect(serve(ScriptedEngine(gate), max_running=1, max_queue=0))
    request: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 9}
    with ThreadPoolExecutor() as pool:
        running = pool.submit(client.messages.create, **request)
        assert gate.reached.acquire(timeout=30)
        with pytest.raises(anthropic.APIStatusError) as caught:
            client.messages.create(**request)
        gate.opened.set()
        assert running.result().content[0].text == "done"
    assert (caught.value.status_code, caught.value.type) == (503, "overloaded_error")


def test_leaving_a_stream_stops_the_request(endless: Path, serve: Serve) -> None:
    server = serve(endless)
    with connect(server).messages.stream(model="tiny", messages=HELLO, max_tokens=1900) as stream:
        next(iter(stream.text_stream))
    assert server.stops()


def test_a_timeout_of_the_client_stops_the_request(endless: Path, serve: Serve) -> None:
    server = serve(endless)
    client = connect(server, timeout=0.3)
    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(model="tiny", messages=HELLO, max_tokens=1900)
    assert server.stops()


def test_options_that_have_no_effect_are_accepted(serve: Serve) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    client = connect(serve(ScriptedEngine("Hi")), default_headers={"anthropic-beta": "x-1"})
    request: Any = {
        "model": "tiny",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello", **cached}]}],
        "system": [{"type": "text", "text": "Be brief.", **cached}],
    }
    options: Any = {
        "max_tokens": 50,
        "metadata": {"user_id": "me"},
        "service_tier": "auto",
        "tools": [],
        "tool_choice": {"type": "auto"},
        "cache_control": {"type": "ephemeral"},
        "inference_geo": "not_available",
    }
    assert client.messages.create(**request, **options).content[0].text == "Hi"
    beta = client.beta.messages.create(
        **request,
        **options,
        betas=["context-management-2025-06-27"],
        mcp_servers=[],
        speed="standard",
    )
    assert beta.content[0].text == "Hi"
    assert client.messages.count_tokens(**request).input_tokens > 0
    assert client.beta.messages.count_tokens(**request).input_tokens > 0


def test_models_are_listed(server: Server) -> None:
    client = connect(server)
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
