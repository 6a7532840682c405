"""Each option of the APIs, as their clients declare it, is supported, without effect, or an error.

The options come from the types of the packages `openai` and `anthropic`, so that a new one is an
error until a table here names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from running_server import Server, running
from typing_extensions import Required, is_typeddict

from llmtool.engine.scripted import ScriptedEngine
from llmtool.toolbox import Toolbox

DOCS = Path(__file__).resolve().parents[3] / "docs" / "serve.md"
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
HELLO = [{"role": "user", "content": "hello"}]
BASE: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HELLO},
    COMPLETIONS: {"prompt": "hello"},
    RESPONSES: {"input": "hello"},
    MESSAGES: {"messages": HELLO, "max_tokens": 50},
    COUNT: {"messages": HELLO},
}
PATHS = [CHAT, COMPLETIONS, RESPONSES, MESSAGES, COUNT]
HEADERS = {"betas"}  # the clients send it as a header
NEEDED: dict[tuple[str, str], dict[str, Any]] = {
    (CHAT, "stream_options"): {"stream": True},
    (CHAT, "top_logprobs"): {"logprobs": True},
    (COMPLETIONS, "stream_options"): {"stream": True},
    (RESPONSES, "stream_options"): {"stream": True},
    (RESPONSES, "top_logprobs"): {"include": ["message.output_text.logprobs"]},
}
SUPPORTED: dict[str, str] = {
    CHAT: """messages model frequency_penalty presence_penalty logit_bias logprobs top_logprobs
        max_tokens max_completion_tokens modalities n reasoning_effort response_format seed stop
        stream stream_options temperature top_p""",
    COMPLETIONS: """prompt model best_of echo frequency_penalty presence_penalty logit_bias logprobs
        max_tokens n seed stop stream stream_options suffix temperature top_p""",
    RESPONSES: """input model include instructions max_output_tokens metadata reasoning stream
        stream_options temperature text top_logprobs top_p truncation""",
    MESSAGES: """messages model max_tokens output_config stop_sequences stream system thinking""",
    COUNT: """messages model output_config system thinking""",
}
_COMMON = """user safety_identifier service_tier store prompt_cache_key prompt_cache_options
    prompt_cache_retention tool_choice parallel_tool_calls metadata"""
_ANTHROPIC = """billing_policy cache_control speed tool_choice user_profile_id workspace_id"""
WITHOUT_EFFECT: dict[str, str] = {
    CHAT: f"{_COMMON} function_call prediction verbosity",
    COMPLETIONS: "user",
    RESPONSES: f"{_COMMON} background_options max_tool_calls",
    MESSAGES: f"{_ANTHROPIC} inference_geo metadata service_tier",
    COUNT: _ANTHROPIC,
}
# False or an empty list: what the option asks for is not requested.
OFF = {"background", "tools", "functions", "mcp_servers", "context_management"}


@pytest.fixture(scope="module", autouse=True)
def client_types() -> dict[str, list[Any]]:
    """The types of the options of each API, imported only in a process that runs these tests."""
    from anthropic.types import message_count_tokens_params, message_create_params
    from anthropic.types.beta import message_count_tokens_params as beta_count_params
    from anthropic.types.beta import message_create_params as beta_message_params
    from openai.types import completion_create_params as completion_params
    from openai.types.chat import completion_create_params as chat_params
    from openai.types.responses import response_create_params as response_params

    return {
        CHAT: [
            chat_params.CompletionCreateParamsNonStreaming,
            chat_params.CompletionCreateParamsStreaming,
        ],
        COMPLETIONS: [
            completion_params.CompletionCreateParamsNonStreaming,
            completion_params.CompletionCreateParamsStreaming,
        ],
        RESPONSES: [
            response_params.ResponseCreateParamsNonStreaming,
            response_params.ResponseCreateParamsStreaming,
        ],
        MESSAGES: [
            message_create_params.MessageCreateParamsNonStreaming,
            message_create_params.MessageCreateParamsStreaming,
            beta_message_params.MessageCreateParamsNonStreaming,
        ],
        COUNT: [
            message_count_tokens_params.MessageCountTokensParams,
            beta_count_params.MessageCountTokensParams,
        ],
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    box = Toolbox("tiny", engine=ScriptedEngine("Hi"), concurrent=True)
    with running({"tiny": box}) as made:
        yield made


def examples(hint: Any, depth: int = 0) -> Iterator[Any]:
    """Yield valid values of a type: each member of a union, each literal, each type of object."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union:
        for each in args:
            yield from examples(each, depth)
    elif origin is Literal:
        yield from args
    elif hint is bool:
        yield from (True, False)
    elif hint in (int, float, str, object):
        yield {int: 1, float: 0.5, str: "x", object: {}}[hint]
    elif hint is type(None) or hasattr(hint, "model_fields"):  # a model is also a typed dict
        return
    elif origin is dict or origin is Mapping:
        yield {"x": next(examples(args[1]), {})}
    elif is_typeddict(hint):
        yield from objects(hint, depth)
    elif args:  # a sequence
        yield []
        yield from ([each] for each in examples(args[0], depth))
    else:
        raise AssertionError(f"no example of {hint}")


def objects(hint: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield an object with the required keys, and with each of the others."""
    hints = get_type_hints(hint)
    required = [
        name
        for name, each in get_type_hints(hint, include_extras=True).items()
        if get_origin(each) is Required
    ]
    base = {name: next(examples(hints[name], depth + 1), None) for name in sorted(required)}
    yield base
    if depth < 2:
        for name in sorted(hints):
            for value in examples(hints[name], depth + 1):
                yield {**base, name: value}


def send(server: Server, path: str, name: str, value: Any) -> Any:
    value = "tiny" if name == "model" else value
    body = {**BASE[path], **NEEDED.get((path, name), {}), name: value}
    return server.post(path, body)


@pytest.mark.parametrize("path", PATHS)
def test_each_option_is_known_or_an_error_that_names_it(
    server: Server, client_types: dict[str, list[Any]], path: str
) -> None:
    hints: dict[str, list[Any]] = {}
    for kind in client_types[path]:
        for name, hint in get_type_hints(kind).items():
            hints.setdefault(name, []).append(hint)
    offenders = []
    for name in sorted(hints.keys() - HEADERS):
        try:
            check_option(server, path, name, hints[name])
        except AssertionError as exc:
            offenders.append(f"{name}: {exc}")
    assert not offenders, "\n\n".join(offenders)


def check_option(server: Server, path: str, name: str, hints: list[Any]) -> None:
    accepted, seen = [], []
    for value in (each for hint in hints for each in examples(hint, depth=2)):
        if value in seen:
            continue
        seen.append(value)
        response = send(server, path, name, value)
        if response.status_code == 200:
            if not (name in OFF and value in (False, [])):
                accepted.append(value)
            continue
        assert response.status_code == 400, (value, response.text)
        error = response.json()["error"]
        message = f"{error['message']} {error.get('param')}"
        assert re.search(rf"\b{name}\b", message), (value, message)
    known = {*SUPPORTED[path].split(), *WITHOUT_EFFECT[path].split()}
    assert bool(accepted) == (name in known), accepted


@pytest.mark.parametrize("path", PATHS)
def test_the_tables_name_options_of_the_api(client_types: dict[str, list[Any]], path: str) -> None:
    """Sampling options that newer models of Anthropic do not have remain."""
    names = {name for kind in client_types[path] for name in get_type_hints(kind)}
    assert {*SUPPORTED[path].split(), *WITHOUT_EFFECT[path].split()} <= names


@pytest.mark.parametrize("path", PATHS)
def test_what_has_no_effect_is_documented(path: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    section = text.partition("## What is rejected")[2].partition("\n## ")[0]
    missing = [name for name in WITHOUT_EFFECT[path].split() if f"`{name}`" not in section]
    assert not missing


def values_of(kinds: list[Any], name: str) -> Iterator[Any]:
    """Return examples, of thousands of items those that are messages with texts or images."""
    for kind in kinds:
        for value in examples(get_type_hints(kind)[name]):
            items = value if isinstance(value, list) else ()
            if all(each.get("type") in (None, *KINDS) and is_message(each) for each in items):
                yield value


KINDS = "message reasoning text input_text output_text thinking image image_url refusal".split()


def is_message(item: dict[str, Any]) -> bool:
    parts = item.get("content")
    return not isinstance(parts, list) or all(each["type"] in KINDS for each in parts)


# What of an object is accepted beside its role and text, by the option that has it.
FIELDS: dict[tuple[str, str], str] = {
    (CHAT, "messages"): "role content type text prompt_cache_breakpoint",
    (RESPONSES, "input"): "role content type text id status phase annotations logprobs "
    "prompt_cache_breakpoint summary encrypted_content",
    (MESSAGES, "messages"): "role content type text cache_control citations "
    "thinking signature data",
    (MESSAGES, "system"): "type text cache_control citations",
    (CHAT, "response_format"): "type json_schema name description schema strict",
    (CHAT, "stream_options"): "include_usage include_obfuscation",
    (RESPONSES, "stream_options"): "include_obfuscation",
    (RESPONSES, "text"): "format verbosity type name description schema strict",
    (RESPONSES, "reasoning"): "effort summary generate_summary",
    (MESSAGES, "thinking"): "type budget_tokens display",
    (MESSAGES, "output_config"): "format effort type schema",
}


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=lambda each: each.removeprefix("/v1/"))
def test_accepted_objects_have_only_known_fields(
    server: Server, client_types: dict[str, list[Any]], path: str, name: str
) -> None:
    accepted: set[str] = set()
    for value in values_of(client_types[path], name):
        if isinstance(value, (list, dict)) and send(server, path, name, value).status_code == 200:
            accepted |= field_names(value)
    assert accepted == accepted & {*FIELDS[path, name].split()}
    assert accepted


OPAQUE = {"schema", "annotations", "cache_control", "citations", "prompt_cache_breakpoint"}


def field_names(value: Any) -> set[str]:
    """Return the names of all fields that have a value, except in what is ignored."""
    if isinstance(value, list):
        return {name for each in value for name in field_names(each)}
    if not isinstance(value, dict):
        return set()
    given = {name: each for name, each in value.items() if each not in (None, [], {})}
    inner = (field_names(each) for name, each in given.items() if name not in OPAQUE)
    return given.keys() | {name for names in inner for name in names}
