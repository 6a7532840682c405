"""`POST /v1/responses`: documents, events, formats, what needs storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running_server import Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags

PATH = "/v1/responses"
TAGS = ReasoningTags("<think>", "</think>")


def events(server: Server, **body: Any) -> list[dict[str, Any]]:
    response = server.post(PATH, {"input": "hello", "stream": True, **body})
    assert response.status_code == 200, response.text
    found = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def test_a_reply_is_a_response(serve: Serve) -> None:
    reply = serve(ScriptedEngine("Good day.")).post(PATH, {"input": "hello"}).json()
    assert (reply["object"], reply["status"], reply["model"]) == ("response", "completed", "tiny")
    (item,) = reply["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert item["content"][0]["text"] == "Good day."
    assert reply["usage"]["input_tokens"] == reply["usage"]["output_tokens"] == 2


def test_instructions_and_messages_are_the_prompt(serve: Serve) -> None:
    engine = ScriptedEngine("Hi")
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "id": "m",
            "content": [{"type": "output_text", "text": "yes", "annotations": []}],
        },
        {"role": "user", "content": "again"},
    ]
    serve(engine).post(PATH, {"input": items, "instructions": "Be brief."})
    assert engine.prompts == ["system: Be brief.\nuser: hello\nassistant: yes\nuser: again"]


def test_a_truncated_reply_is_incomplete(serve: Serve) -> None:
    server = serve(ScriptedEngine("a b c"))
    reply = server.post(PATH, {"input": "hello", "max_output_tokens": 1}).json()
    assert reply["status"] == "incomplete"
    assert reply["incomplete_details"] == {"reason": "max_output_tokens"}
    assert events(server, max_output_tokens=1)[-1]["type"] == "response.incomplete"


def test_a_stream_has_the_events_of_each_item(serve: Serve) -> None:
    server = serve(ScriptedEngine("<think>Hm.</think>Yes sir.", reasoning_tags=TAGS))
    found = events(server, reasoning={"effort": "low"})
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert found[-1]["response"]["output"] == items
    assert "".join(e["delta"] for e in found if e["type"].endswith("text.delta")) == "Hm.Yes sir."


def test_a_stream_without_text_has_an_empty_message(serve: Serve) -> None:
    found = events(serve(ScriptedEngine("")))
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_a_schema_holds(tiny: Path, serve: Serve) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    reply = serve(tiny).post(PATH, {"input": "hello", "text": text}).json()
    assert json.loads(reply["output"][0]["content"][0]["text"]) in ({"ok": True}, {"ok": False})


def test_logprobs_are_included_on_request(tiny: Path, serve: Serve) -> None:
    body = {
        "input": "hello",
        "max_output_tokens": 3,
        "top_logprobs": 2,
        "include": ["message.output_text.logprobs"],
    }
    part = serve(tiny).post(PATH, body).json()["output"][0]["content"][0]
    assert part["logprobs"]
    assert all(len(token["top_logprobs"]) == 2 for token in part["logprobs"])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["output.images"]}, "include[0]"),
        ({"input": ""}, "input"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].type"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "shema": {}}}}, "text.format.shema"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"max_tokens": 5}, "max_tokens"),
    ],
)
def test_what_is_not_supported_is_named(serve: Serve, change: dict[str, Any], param: str) -> None:
    response = serve(ScriptedEngine("Hi")).post(PATH, {"input": "hello", **change})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_an_error_within_a_stream_fails_the_response(serve: Serve) -> None:
    response = serve(ScriptedEngine("a b", n_ctx=5)).post(
        PATH, {"input": "word " * 20, "stream": True}
    )
    assert response.status_code == 400
