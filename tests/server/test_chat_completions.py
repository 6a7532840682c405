"""`POST /v1/chat/completions`: documents, streams, options, constraints, errors."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from running_server import Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags
from llmtool.server import generation

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def chunks(server: Server, **body: Any) -> list[dict[str, Any]]:
    """Return the chunks of a stream, which ends with `[DONE]`."""
    response = server.post(PATH, {"messages": HELLO, "stream": True, **body})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line for line in response.text.split("\n") if line]
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_reply_is_a_document_with_usage(serve: Serve) -> None:
    server = serve(ScriptedEngine("Good day."))
    reply = server.post(PATH, {"model": "tiny", "messages": HELLO}).json()
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "tiny"
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Good day.", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None
    assert reply["usage"]["total_tokens"] == 4


def test_a_stream_has_the_role_the_text_and_the_end(serve: Serve) -> None:
    server = serve(ScriptedEngine("Good day."))
    first, *middle, last = chunks(server)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    texts = [each["choices"][0]["delta"]["content"] for each in middle]
    assert texts == ["Good", " day."]
    assert last["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert len({each["id"] for each in [first, *middle, last]}) == 1


def test_usage_is_streamed_on_request(serve: Serve) -> None:
    last = chunks(serve(ScriptedEngine("Hi")), stream_options={"include_usage": True})[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 1


def test_several_choices_count_the_prompt_once(serve: Serve) -> None:
    server = serve(ScriptedEngine(["one", "two"]))
    one = server.post(PATH, {"messages": HELLO}).json()["usage"]["prompt_tokens"]
    reply = server.post(PATH, {"messages": HELLO, "n": 2, "temperature": 1}).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]
    assert {choice["message"]["content"] for choice in reply["choices"]} == {"one", "two"}
    assert reply["usage"]["prompt_tokens"] == one
    assert reply["usage"]["completion_tokens"] == 2


def test_reasoning_is_separate(serve: Serve) -> None:
    tags = ReasoningTags("<think>", "</think>")
    server = serve(ScriptedEngine("<think>Hm.</think>Yes.", reasoning_tags=tags))
    message = server.post(PATH, {"messages": HELLO}).json()["choices"][0]["message"]
    assert message["reasoning_content"].strip() == "Hm."
    assert message["content"].strip() == "Yes."
    deltas = [each["choices"][0]["delta"] for each in chunks(server)]
    assert "Hm." in "".join(delta.get("reasoning_content", "") for delta in deltas)


def test_the_last_message_of_the_assistant_is_continued(serve: Serve) -> None:
    engine = ScriptedEngine("world")
    messages = [*HELLO, {"role": "assistant", "content": "hello, "}]
    reply = serve(engine).post(PATH, {"messages": messages}).json()
    assert reply["choices"][0]["message"]["content"] == "world"
    assert engine.prompts == ["user: hellohello, "]


def test_max_tokens_ends_a_reply_with_length(tiny: Path, serve: Serve) -> None:
    reply = serve(tiny).post(PATH, {"messages": HELLO, "max_completion_tokens": 2}).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2


def test_a_seed_repeats_a_reply(tiny: Path, serve: Serve) -> None:
    server = serve(tiny)
    body = {"messages": HELLO, "max_tokens": 12, "temperature": 1.5, "seed": 7}
    texts = [server.post(PATH, body).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_schema_holds(tiny: Path, serve: Serve) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    body = {"messages": HELLO, "response_format": format, "max_tokens": 50}
    text = serve(tiny).post(PATH, body).json()["choices"][0]["message"]["content"]
    assert json.loads(text) in ({"ok": True}, {"ok": False})


def test_logprobs_have_the_requested_alternatives(tiny: Path, serve: Serve) -> None:
    body = {"messages": HELLO, "max_tokens": 2, "logprobs": True, "top_logprobs": 3}
    (choice,) = serve(tiny).post(PATH, body).json()["choices"]
    for token in choice["logprobs"]["content"]:
        assert token["logprob"] <= 0
        assert len(token["top_logprobs"]) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_number_of_logprobs_is_limited(
    tiny: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """A server would hold gigabytes for 100 alternatives of each token of 1,000 replies."""
    server = serve(tiny)
    body = {"messages": HELLO, "max_tokens": 8, "logprobs": True, "top_logprobs": 4, "n": 2}
    monkeypatch.setattr(generation, "MAX_LOGPROBS", 80)
    assert "more than" not in server.post(PATH, {**body, "stream": stream}).text
    monkeypatch.setattr(generation, "MAX_LOGPROBS", 30)
    response = server.post(PATH, {**body, "stream": stream})
    assert "the response has more than 30 tokens and alternatives" in response.text
    assert response.status_code == (200 if stream else 400)
    assert server.wait_until(lambda: not server.service.n_running)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"max_tokns": 5}, "max_tokns", "unknown_option"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_option"),
        ({"temperature": "hot"}, "temperature", None),
        ({"temperature": -1}, "temperature", None),
        ({"messages": "hello"}, "messages", None),
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role", None),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", None),
        ({"n": 0}, "n", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", None),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", None),
    ],
)
def test_an_invalid_request_is_an_error_that_names_the_field(
    serve: Serve, change: dict[str, Any], param: str | None, code: str | None
) -> None:
    response = serve(ScriptedEngine("Hi")).post(PATH, {"messages": HELLO, **change})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert "\n" not in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_names_both_numbers(serve: Serve, stream: bool) -> None:
    server = serve(ScriptedEngine("Hi", n_ctx=16))
    messages = [{"role": "user", "content": "word " * 40}]
    response = server.post(PATH, {"messages": messages, "stream": stream})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "43" in error["message"] and "16" in error["message"]


def test_options_without_effect_are_accepted(serve: Serve) -> None:
    options = {"user": "me", "metadata": {}, "store": False, "tools": [], "tool_choice": "auto"}
    response = serve(ScriptedEngine("Hi")).post(PATH, {"messages": HELLO, **options})
    assert response.status_code == 200


def test_an_unknown_model_is_not_found(serve: Serve) -> None:
    response = serve(ScriptedEngine("Hi")).post(PATH, {"messages": HELLO, "model": "gpt-4"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_models_are_listed(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"))
    assert [each["id"] for each in server.client.get("/v1/models").json()["data"]] == ["tiny"]
    assert server.client.get("/v1/models/tiny").json()["id"] == "tiny"
    assert server.client.get("/v1/models/other").status_code == 404


def test_structured_outputs_of_vllm_are_enforced(serve: Serve, starter: Path) -> None:
    server = serve(starter)

    def reply(**constraint: Any) -> Any:
        body = {"messages": HELLO, "structured_outputs": constraint, "max_tokens": 20}
        return server.post(PATH, body).json()

    assert reply(regex="yes|no")["choices"][0]["message"]["content"] in ("yes", "no")
    assert reply(grammar='root ::= "maybe"')["choices"][0]["message"]["content"] == "maybe"
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    value = json.loads(reply(json=schema)["choices"][0]["message"]["content"])
    assert isinstance(value["n"], int)
    error = reply(regex="a", grammar='root ::= "a"')["error"]
    assert "cannot be combined" in error["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, {"messages": HELLO, "structured_outputs": {"regex": "a"}}),
        ("/v1/completions", {"prompt": "a", "structured_outputs": {"regex": "a"}}),
        (
            "/v1/responses",
            {"input": "a", "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
        ),
        (
            "/v1/messages",
            {
                "messages": HELLO,
                "max_tokens": 5,
                "output_format": {"type": "json_schema", "schema": {}},
            },
        ),
    ],
)
def test_other_clients_do_not_wait_while_a_constraint_is_compiled(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    begun, end = threading.Event(), threading.Event()

    def compile_slowly(**constraint: object) -> None:
        begun.set()
        assert end.wait(30)

    monkeypatch.setattr("llmtool.server.generation.make_output_spec", compile_slowly)
    server = serve(ScriptedEngine("Hi"))
    thread = threading.Thread(target=server.post, args=(path, body))
    thread.start()
    try:
        assert begun.wait(30)
        assert server.client.get("/health").status_code == 200
        assert server.post(PATH, {"messages": HELLO}).status_code == 200
        assert thread.is_alive()
    finally:
        end.set()
        thread.join(30)


def test_sampling_options_of_llama_cpp_are_accepted(serve: Serve) -> None:
    options = {
        "typical_p": 0.9,
        "repeat_last_n": 32,
        "dry_multiplier": 0.8,
        "dry_base": 1.5,
        "dry_allowed_length": 3,
        "xtc_probability": 0.1,
        "xtc_threshold": 0.2,
    }
    server = serve(ScriptedEngine("Hi"))
    assert server.post(PATH, {"messages": HELLO, **options}).status_code == 200
    response = server.post(PATH, {"messages": HELLO, "dry_base": 0})
    assert response.status_code == 400 and "dry_base" in response.json()["error"]["message"]
