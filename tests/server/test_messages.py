"""`POST /v1/messages`: documents, events, stop sequences, reasoning, counts, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running_server import Gate, Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags
from llmtool.server.anthropic import messages

PATH = "/v1/messages"
HELLO = [{"role": "user", "content": "hello"}]
TAGS = ReasoningTags("<think>", "</think>")


def ask(server: Server, **body: Any) -> Any:
    return server.post(PATH, {"messages": HELLO, "max_tokens": 50, **body})


def events(server: Server, **body: Any) -> list[dict[str, Any]]:
    response = ask(server, stream=True, **body)
    assert response.status_code == 200, response.text
    found = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_a_reply_is_a_message(serve: Serve) -> None:
    reply = ask(serve(ScriptedEngine("Good day."))).json()
    assert (reply["type"], reply["role"], reply["model"]) == ("message", "assistant", "tiny")
    assert reply["content"] == [{"type": "text", "text": "Good day."}]
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("end_turn", None)
    assert reply["usage"]["input_tokens"] == reply["usage"]["output_tokens"] == 2


def test_the_system_prompt_comes_first(serve: Serve) -> None:
    engine = ScriptedEngine("Hi")
    server = serve(engine)
    ask(server, system="Be brief.")
    ask(server, system=[{"type": "text", "text": "Be brief.", "cache_control": {}}])
    assert set(engine.prompts) == {"system: Be brief.\nuser: hello"}


@pytest.mark.parametrize(
    ("options", "reason", "stop"),
    [
        ({"max_tokens": 1}, "max_tokens", None),
        ({"stop_sequences": ["x", " b"]}, "stop_sequence", " b"),
        ({}, "end_turn", None),
    ],
)
def test_the_stop_reason(serve: Serve, options: Any, reason: str, stop: str | None) -> None:
    reply = ask(serve(ScriptedEngine("a b c")), **options).json()
    assert (reply["stop_reason"], reply["stop_sequence"]) == (reason, stop)


def test_a_stream_has_the_events_of_each_block(serve: Serve) -> None:
    server = serve(ScriptedEngine("<think>Hm.</think>Yes sir.", reasoning_tags=TAGS))
    found = events(server, thinking={"type": "enabled", "budget_tokens": 20})
    assert [event["type"] for event in found] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[0]["message"]["usage"]["input_tokens"] == 2
    assert found[1]["content_block"]["type"] == "thinking"
    assert found[2]["delta"] == {"type": "thinking_delta", "thinking": "Hm."}
    assert [event["delta"]["text"] for event in found[5:7]] == ["Yes", " sir."]
    assert found[-2]["delta"]["stop_reason"] == "end_turn"
    assert found[-2]["usage"]["output_tokens"] > 0


def test_reasoning_of_earlier_replies_is_not_repeated(serve: Serve) -> None:
    engine = ScriptedEngine("Hi")
    said = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}]
    messages = [*HELLO, {"role": "assistant", "content": said}, *HELLO]
    assert ask(serve(engine), messages=messages).status_code == 200
    assert engine.prompts == ["user: hello\nassistant: Yes.\nuser: hello"]


def test_a_schema_holds(tiny: Path, serve: Serve) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    server = serve(tiny)
    for options in (
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ):
        (block,) = ask(server, **options).json()["content"]
        assert json.loads(block["text"]) in ({"ok": True}, {"ok": False})


def test_tokens_are_counted(serve: Serve) -> None:
    response = serve(ScriptedEngine("Hi")).post(f"{PATH}/count_tokens", {"messages": HELLO})
    assert response.json() == {"input_tokens": 2}


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"tools": [{"name": "x"}]}, 400, "invalid_request_error"),
        ({"max_tokens": 0}, 400, "invalid_request_error"),
        ({"temprature": 1}, 400, "invalid_request_error"),
        ({"model": "other"}, 404, "not_found_error"),
        ({"thinking": {"type": "enabled", "budget_tokens": 50}}, 400, "invalid_request_error"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            400,
            "invalid_request_error",
        ),
    ],
)
def test_errors_have_the_form_of_the_api(
    serve: Serve, change: dict[str, Any], status: int, kind: str
) -> None:
    response = ask(serve(ScriptedEngine("Hi")), **change)
    assert response.status_code == status
    assert response.json()["type"] == "error"
    assert response.json()["error"]["type"] == kind


def test_an_error_within_a_stream_is_an_event(serve: Serve) -> None:
    def fail(prompt: str) -> str:
        raise RuntimeError("broken")

    found = events(serve(ScriptedEngine(fail)))
    assert [event["type"] for event in found] == ["message_start", "error"]
    assert found[-1]["error"]["type"] == "api_error"


def test_a_prompt_that_does_not_fit_is_an_error_before_the_stream(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi", n_ctx=16))
    messages = [{"role": "user", "content": "word " * 40}]
    for stream in (False, True):
        response = ask(server, messages=messages, max_tokens=5, stream=stream)
        assert response.status_code == 400
        assert "16" in response.json()["error"]["message"]


def test_a_stream_that_waits_for_its_first_token_has_pings(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(messages, "_PING_SECONDS", 0.05)
    server = serve(ScriptedEngine(gate))
    body = {"messages": HELLO, "max_tokens": 50, "stream": True}
    with server.client.stream("POST", PATH, json=body) as response:
        lines = response.iter_lines()
        kinds = [next(line for line in lines if line.startswith("event:")) for _ in range(3)]
        gate.opened.set()
        text = "".join(lines)
    assert kinds == ["event: message_start", "event: ping", "event: ping"]
    assert '"done"' in text
