"""Bad input of every kind is an error in the format of the API that the path belongs to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as mi
import pytest
from running_server import Server, running

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import sampling_limits
from llmtool.option_names import use_format
from llmtool.server.anthropic.schemas import CountBody, MessagesBody
from llmtool.server.errors import format_field
from llmtool.server.llama_server import ApplyTemplateBody, DetokenizeBody, TokenizeBody
from llmtool.server.openai.completions import MAX_PROMPTS
from llmtool.server.openai.schemas import ChatBody, CompletionBody, ResponseBody
from llmtool.server.scores import MAX_CANDIDATES, ScoresBody
from llmtool.tasks.options import MAX_REPLIES
from llmtool.toolbox import Toolbox

HELLO = [{"role": "user", "content": "hello"}]
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "/v1/chat/completions": (ChatBody, {"messages": HELLO}),
    "/v1/completions": (CompletionBody, {"prompt": "hello"}),
    "/v1/responses": (ResponseBody, {"input": "hello"}),
    "/v1/messages": (MessagesBody, {"messages": HELLO, "max_tokens": 9}),
    "/v1/messages/count_tokens": (CountBody, {"messages": HELLO}),
    "/tokenize": (TokenizeBody, {"content": "hello"}),
    "/v1/scores": (ScoresBody, {"prompt": "hello", "candidates": ["a"]}),
    "/detokenize": (DetokenizeBody, {"tokens": [1]}),
    "/apply-template": (ApplyTemplateBody, {"messages": HELLO}),
    "/v1/functions/gen": (None, {"prompt": "hello"}),
}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    box = Toolbox("tiny", engine=ScriptedEngine("Hi"), concurrent=True)
    with use_format(format_field), running({"tiny": box}) as made:
        yield made


def post(server: Server, path: str, body: bytes, **headers: str) -> str:
    """Return the message of the error; check its status and form."""
    response = server.client.post(path, content=body, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    return check(path, response)


def check(path: str, response: Any) -> str:
    document = response.json()
    error = document["error"]
    if path.startswith("/v1/messages"):
        assert document["type"] == "error" and error["type"].endswith("_error")
    else:
        assert error["type"] == "invalid_request_error" and {"param", "code"} <= error.keys()
    assert error["message"] and error["exit_code"]
    return error["message"]


@pytest.mark.parametrize("path", BODIES)
def test_the_body_itself_is_valid(server: Server, path: str) -> None:
    assert server.post(path, BODIES[path][1]).status_code == 200


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends too early"),
        (b"{", "ends too early"),
        (b"hello", "not JSON"),
        (b"a=1&b=2", "not JSON"),
        (b"null", "null"),
        (b'"hello"', "str"),
        (b"NaN", "not JSON"),
        (b'{"model": NaN}', "not JSON"),
        (b'{"model": -Infinity}', "not JSON"),
        (b'{"model": 1e400}', ""),
        (b'{"model": ' + b"9" * 5000 + b"}", ""),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b'{"model": "\\ud800"}', "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[" * 100_000, ""),
        (b'{"model": "tiny", "model": "tiny"}', ""),
        (b'{"modle": "tiny"}', "modle"),
    ],
    ids=lambda each: repr(each[:20]),
)
def test_a_body_that_is_not_valid(server: Server, path: str, body: bytes, message: str) -> None:
    assert message in post(server, path, body)


@pytest.mark.parametrize("path", BODIES)
def test_text_after_the_body(server: Server, path: str) -> None:
    assert "not JSON" in post(server, path, json.dumps(BODIES[path][1]).encode() + b"{}")


@pytest.mark.parametrize("path", BODIES)
def test_a_key_that_occurs_twice(server: Server, path: str) -> None:
    text = json.dumps(BODIES[path][1])
    (key, *_) = BODIES[path][1]
    twice = text[:-1] + "," + text[1:]
    assert f"{key!r} occurs twice" in post(server, path, twice.encode())


def test_a_key_that_occurs_twice_in_a_schema(server: Server) -> None:
    schema = '{"type": "string", "type": "number"}'
    body = f'{{"messages": {json.dumps(HELLO)}, "response_format": {{"type": "json_schema", '
    body += f'"json_schema": {{"schema": {schema}}}}}}}'
    assert "'type' occurs twice" in post(server, CHAT, body.encode())


@pytest.mark.parametrize("path", BODIES)
def test_a_compressed_body(server: Server, path: str) -> None:
    body = gzip.compress(json.dumps(BODIES[path][1]).encode())
    assert "'gzip' is not supported" in post(server, path, body, **{"Content-Encoding": "gzip"})


@pytest.mark.parametrize("path", BODIES)
def test_an_unknown_query_parameter(server: Server, path: str) -> None:
    response = server.post(f"{path}?modle=x", BODIES[path][1])
    assert response.status_code == 400
    assert "unknown query parameter 'modle'" in check(path, response)


@pytest.mark.parametrize("path", BODIES)
def test_another_method(server: Server, path: str) -> None:
    response = server.client.get(path)
    assert response.status_code == 405 and response.headers["allow"] == "POST"
    assert "GET is not supported" in check(path, response)


def fields() -> Iterator[tuple[str, str]]:
    for path, (kind, _) in BODIES.items():
        if kind is not None:
            yield from ((path, each.encode_name) for each in msgspec.structs.fields(kind))


@pytest.mark.parametrize(("path", "name"), list(fields()))
def test_a_field_of_the_wrong_type_is_named(server: Server, path: str, name: str) -> None:
    for value in ([[[]]], [{"x": []}], 10**30):
        response = server.post(path, {**BODIES[path][1], name: value})
        assert response.status_code == 400, (value, response.text)
        assert name in response.text, value


def enumerations() -> Iterator[tuple[str, str, Any, list[str]]]:
    """Yield each field with enumerated values: its path, its place, a wrong value, the values."""
    for path, (kind, _) in BODIES.items():
        if kind is not None:
            for place, value, choices in literals(mi.type_info(kind)):
                yield path, place, value, choices


def literals(kind: mi.Type) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield the literals inside a type: their place, a document with a wrong value, the values."""
    if isinstance(kind, mi.UnionType):
        found = [each for each in kind.types if isinstance(each, mi.LiteralType)]
        if found:
            yield "", "wrong", [str(value) for each in found for value in each.values]
        for each in kind.types:
            if not isinstance(each, mi.LiteralType):
                yield from literals(each)
    elif isinstance(kind, mi.LiteralType):
        yield "", "wrong", list(map(str, kind.values))
    elif isinstance(kind, mi.ListType):
        for place, value, choices in literals(kind.item_type):
            yield f"[0]{place}", [value], choices
    elif isinstance(kind, mi.StructType):
        for field in kind.fields:
            for place, value, choices in literals(field.type):
                yield f".{field.encode_name}{place}", {field.encode_name: value}, choices


@pytest.mark.parametrize(("path", "place", "change", "choices"), list(enumerations()))
def test_an_unknown_value_is_an_error_that_lists_the_valid_ones(
    server: Server, path: str, place: str, change: Any, choices: list[str]
) -> None:
    response = server.post(path, {**BODIES[path][1], **change})
    message = check(path, response)
    assert message.startswith(f"{place[1:]} 'wrong': must be ")
    assert all(repr(choice) in message for choice in choices)
    assert response.json()["error"].get("param") in (place[1:], None)
    if not path.startswith("/v1/messages"):
        assert response.json()["error"]["param"] == place[1:]


def test_the_bodies_have_enumerated_values() -> None:
    places = {(path, place) for path, place, _, _ in enumerations()}
    assert {
        (CHAT, ".response_format.type"),
        (CHAT, ".modalities[0]"),
        ("/v1/responses", ".include[0]"),
        ("/v1/responses", ".text.format.type"),
        ("/v1/messages", ".thinking.type"),
        ("/tokenize", ".reasoning_effort"),
    } <= places


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
@pytest.mark.parametrize("name", sorted(sampling_limits().keys() - {"think_tokens", "logprobs"}))
def test_a_sampling_option_out_of_range_is_the_param(server: Server, path: str, name: str) -> None:
    limits = sampling_limits()[name]
    assert limits.ge is not None and limits.le is not None
    for value in (limits.ge - 1, limits.le + 1):
        if name == "seed":  # other seeds are reduced
            value = 2**63 if value > 0 else -(2**63) - 1
        response = server.post(path, {**BODIES[path][1], name: value})
        assert response.status_code == 400
        assert response.json()["error"]["param"] == name
        assert name in check(path, response)


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/functions/classify", {"text": "x", "labels": ["a"]}, "labels"),
        ("/v1/functions/classify", {"text": "x", "labels": ["a", "a"]}, "labels"),
        (
            "/v1/functions/classify",
            {"text": "x", "labels": ["a", "b"], "examples": [5]},
            "examples",
        ),
        ("/v1/functions/classify", {"text": 5, "labels": ["a", "b"]}, "text"),
        ("/v1/functions/sum", {"text": "x", "style": "verse"}, "style"),
        ("/v1/functions/sum", {"text": "x", "length": "far"}, "length"),
        ("/v1/functions/translate", {"text": "x", "to": "Klingonian"}, "to"),
        ("/v1/functions/gen", {"prompt": "x", "schema": {"type": "text"}}, "schema"),
        ("/v1/functions/gen", {"prompt": "x", "regex": "("}, "regex"),
        ("/v1/functions/gen?temperature=101", {"prompt": "x"}, "temperature"),
        ("/v1/functions/gen?seed=1&seed=2", {"prompt": "x"}, "seed"),
    ],
)
def test_an_argument_of_a_function_that_is_not_possible_is_the_param(
    server: Server, path: str, change: dict[str, Any], param: str
) -> None:
    response = server.post(path, change)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        (CHAT, {"temperature": -1}, "temperature -1"),
        (CHAT, {"temperature": 1e308}, "temperature 1e+308"),
        (CHAT, {"top_p": 1.5}, "top_p 1.5"),
        (CHAT, {"max_tokens": -1}, "max_tokens -1: must be between 0 and 2147483647"),
        (CHAT, {"max_tokens": 10**9}, "1,000,000,002"),
        (CHAT, {"n": 0}, "n: must be"),
        (CHAT, {"n": MAX_REPLIES + 1}, "n: must be"),
        (CHAT, {"logit_bias": {"x": "1"}}, "logit_bias"),
        (CHAT, {"top_logprobs": 3}, "top_logprobs needs logprobs"),
        (CHAT, {"logprobs": True, "top_logprobs": 999}, "top_logprobs"),
        (CHAT, {"stream_options": {"include_usage": True}}, "stream_options needs stream"),
        (CHAT, {"stream": True, "stream_options": {"include_usge": True}}, "include_usge"),
        (CHAT, {"tool_choice": "required"}, "tool_choice"),
        (CHAT, {"web_search_options": {}}, "web_search_options"),
        (CHAT, {"verbosity": "low"}, "verbosity"),
        (CHAT, {"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens differs"),
        (CHAT, {"messages": []}, "messages is empty"),
        (CHAT, {"messages": [{"role": "user", "content": None}]}, "messages[0]: content is None"),
        (CHAT, {"messages": [{**HELLO[0], "name": "Ann"}]}, "messages[0].name"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "unknown role 'tool'"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "text": "x"}]}]},
            "messages[0].content[0]: type 'image_url'",
        ),
        (
            CHAT,
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"typ": 1}}}},
            "response_format: JSON Schema",
        ),
        (CHAT, {"structured_outputs": {"regex": "("}}, "structured_outputs: "),
        (
            CHAT,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"not": {"type": "string"}}},
                }
            },
            "the schema uses not, which cannot be enforced",
        ),
        ("/v1/completions", {"prompt": []}, "prompt: 0 prompts"),
        ("/v1/completions", {"prompt": ["a"] * (MAX_PROMPTS + 1)}, "prompt: 2049 prompts"),
        ("/v1/completions", {"prompt": [1.5]}, "prompt"),
        ("/v1/completions", {"n": MAX_REPLIES + 1}, "n: must be"),
        ("/v1/completions", {"best_of": 2}, "best_of 2"),
        ("/v1/responses", {"input": []}, "input has no message"),
        ("/v1/responses", {"input": [{"role": "user", "content": []}]}, "input[0] is empty"),
        ("/v1/responses", {"input": [{"type": "function_call"}]}, "input[0]: type 'function_call'"),
        ("/v1/responses", {"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ("/v1/responses", {"top_logprobs": 2}, "top_logprobs needs"),
        ("/v1/responses", {"previous_response_id": "x"}, "previous_response_id"),
        ("/v1/messages", {"thinking": {"type": "enabled", "display": "omitted"}}, "display"),
        ("/v1/messages", {"thinking": {"type": "disabled", "budget_tokens": 5}}, "budget_tokens"),
        ("/v1/messages", {"output_config": {"effort": "max"}}, "output_config.effort"),
        ("/v1/messages", {"tool_choice": {"type": "any"}}, "tool_choice"),
        ("/v1/messages", {"system": [{"type": "image", "text": "x"}]}, "system[0]: type 'image'"),
        ("/v1/messages", {"temperature": -1}, "temperature -1"),
        ("/v1/messages", {"top_k": -5}, "top_k -5: must be between 0 and 2147483647"),
        ("/tokenize", {"prompt": "hello"}, "remove one"),
        ("/tokenize", {"messages": [{**HELLO[0], "name": "Ann"}]}, "messages[0].name"),
        (
            "/v1/scores",
            {"prompt": None, "messages": [{**HELLO[0], "name": "A"}]},
            "messages[0].name",
        ),
        ("/v1/scores", {"candidates": []}, "candidates"),
        ("/v1/scores", {"candidates": ["a"] * (MAX_CANDIDATES + 1)}, "candidates"),
        ("/v1/scores", {"messages": []}, "pass either prompt or messages"),
        ("/detokenize", {"tokens": ["x"]}, "tokens[0]"),
        ("/v1/functions/gen", {"prompt": 5}, "prompt"),
        ("/v1/functions/gen", {"prompt": "x", "max_tokens": -1}, "max_tokens"),
    ],
)
def test_a_value_that_is_not_possible_is_named(
    server: Server, path: str, change: dict[str, Any], named: str
) -> None:
    response = server.post(path, {**BODIES[path][1], **change})
    assert response.status_code == 400, response.text
    assert named in check(path, response)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/models?limit=0", "limit '0'"),
        ("/v1/models?after_id=x", "'after_id'"),
        ("/v1/models/other", "'other'"),
        ("/v1/modls", "unknown path"),
        ("/v1/models/tiny?modle=x", "'modle'"),
        ("/v1/functions?modle=x", "'modle'"),
        ("/openapi.json?modle=x", "'modle'"),
        ("/tokenizer_info?modle=x", "'modle'"),
        ("/health?modle=x", "'modle'"),
        ("/metrics?modle=x", "'modle'"),
    ],
)
def test_a_query_that_is_not_possible(server: Server, path: str, named: str) -> None:
    response = server.client.get(path)
    assert 400 <= response.status_code < 500 and named in check(path, response)
    assert server.client.get("/v1/models?limit=20").status_code == 200


@pytest.fixture(scope="module")
def models(tiny: Path) -> Iterator[Server]:
    """A server with a model, and with the same model in a small context."""
    boxes = {
        name: Toolbox(tiny, concurrent=True, n_threads=1, n_ctx=n_ctx, prefix_cache=False)
        for name, n_ctx in (("tiny", None), ("small", 64))
    }
    with use_format(format_field), running(boxes) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "fields", "name"),
    [
        (CHAT, {"messages": HELLO, "max_tokens": 9999}, "max_tokens"),
        (CHAT, {"messages": HELLO, "max_completion_tokens": 9999}, "max_completion_tokens"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 9999}, "max_tokens"),
        ("/v1/responses", {"input": "a", "max_output_tokens": 9999}, "max_output_tokens"),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9999}, "max_tokens"),
    ],
)
def test_a_reply_that_is_too_long_names_the_field_of_the_api(
    models: Server, path: str, fields: dict[str, Any], name: str, stream: bool
) -> None:
    message = check(path, models.post(path, {**fields, "stream": stream}))
    assert f"; lower {name} to " in message


def test_a_context_that_is_too_small_names_the_option_of_the_server(models: Server) -> None:
    response = models.post("/v1/completions", {"prompt": "a " * 100, "model": "small"})
    assert "; raise the server's --ctx-size, up to " in check("/v1/completions", response)
