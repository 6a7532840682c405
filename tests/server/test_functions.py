"""`/v1/functions`: templates and tasks with typed arguments, batches, schemas, OpenAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from running_server import Serve, Server

from llmtool.engine.scripted import ScriptedEngine

GREET = """\
llmtool: 1
name: greet
description: Greet someone.
inputs:
  name: {type: string, required: true, description: Who is greeted.}
  times: {type: int, default: 1}
  tone: {type: enum, enum: [warm, formal]}
  letter: {type: file}
prompt: "Greet {{ name }} {{ times }} times, {{ tone }}. {{ letter }}"
"""
PERSON = """\
llmtool: 1
name: person
inputs: {text: {type: text, required: true}}
prompt: "Who? {{ text }}"
output: {json: "name, age int"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greet.yaml").write_text(GREET)
    (tmp_path / "person.yaml").write_text(PERSON)
    (tmp_path / "broken.yaml").write_text("llmtool: 1\nname: broken\n")
    return tmp_path


def call(server: Server, name: str, arguments: object, query: str = "") -> Any:
    return server.post(f"/v1/functions/{name}{query}", arguments)


def test_a_template_is_a_function(serve: Serve, folder: Path) -> None:
    engine = ScriptedEngine("Hello, Ada.")
    server = serve(engine, folders=[folder])
    result = call(server, "greet", {"name": "Ada", "tone": "warm", "letter": "/etc/passwd"}).json()
    assert result["text"] == "Hello, Ada."
    assert result["usage"]["completion_tokens"] == 2
    assert engine.prompts == ["user: Greet Ada 1 times, warm. /etc/passwd"]


def test_the_value_of_json_is_typed(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine('{"name": "Ada", "age": 36}'), folders=[folder])
    assert call(server, "person", {"text": "Ada is 36."}).json()["value"] == {
        "name": "Ada",
        "age": 36,
    }


def test_labels_have_scores(serve: Serve) -> None:
    server = serve(ScriptedEngine(scores=lambda _, label: -len(label)))
    arguments = {"text": "The match ended.", "labels": ["sport", "politics"]}
    result = call(server, "classify", arguments).json()
    assert set(result["scores"]) == {"sport", "politics"}
    assert result["label"] in result["scores"]


def test_a_list_of_arguments_is_a_batch_in_order(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine(lambda prompt: prompt.split()[2]), folders=[folder])
    batch = [{"name": "Ada"}, {"nmae": "Bob"}, {"times": 2}, {"name": "Cy"}, {"name": 5}]
    response = call(server, "greet", batch)
    assert response.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in response.text.splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["result"]["text"] == "Ada"
    assert rows[1]["error"]["param"] == "nmae"
    assert rows[2]["error"]["code"] == "missing_argument"
    assert rows[3]["result"]["text"] == "Cy"
    assert "name" in rows[4]["error"]["message"]


def test_calls_with_different_options_keep_their_order(serve: Serve) -> None:
    server = serve(ScriptedEngine(scores=lambda _, label: -len(label)))
    labels: list[list[str]] = [["a", "bb"], ["cc", "d"], ["a", "bb"]]
    batch = [{"text": "x", "labels": each} for each in labels]
    rows = [json.loads(line) for line in call(server, "classify", batch).text.splitlines()]
    assert [list(row["result"]["scores"]) for row in rows] == labels


@pytest.mark.parametrize(
    ("name", "argument", "others"),
    [
        ("gen", "prompt", {}),
        ("sum", "text", {}),
        ("classify", "text", {"labels": ["a", "b"]}),
        ("translate", "text", {"to": "French"}),
    ],
)
def test_an_empty_argument_is_an_error_before_the_model_runs(
    serve: Serve, name: str, argument: str, others: dict[str, object]
) -> None:
    prompts: list[str] = []
    response = call(serve(ScriptedEngine(prompts.append)), name, {argument: " \n", **others})
    assert (response.status_code, response.json()["error"]["param"]) == (400, argument)
    assert not prompts


def test_an_empty_batch_is_empty(serve: Serve) -> None:
    response = call(serve(ScriptedEngine("Hi")), "gen", [])
    assert response.status_code == 200
    assert response.text == ""


@pytest.mark.parametrize(
    ("arguments", "query", "status", "code"),
    [
        ({"nmae": "Ada"}, "", 400, "unknown_argument"),
        ({}, "", 400, "missing_argument"),
        ({"name": "Ada", "times": "often"}, "", 400, None),
        ({"name": "Ada", "tone": "rude"}, "", 400, None),
        ({"name": "Ada"}, "?sed=1", 400, "unknown_option"),
        ({"name": "Ada"}, "?seed=x", 400, None),
        ({"name": "Ada"}, "?model=other", 404, "model_not_found"),
        ("Ada", "", 400, None),
    ],
)
def test_invalid_calls_are_errors(
    serve: Serve, folder: Path, arguments: object, query: str, status: int, code: str | None
) -> None:
    response = call(serve(ScriptedEngine("Hi"), folders=[folder]), "greet", arguments, query)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == code
    assert "\n" not in error["message"]


def test_an_unknown_function_suggests_another(serve: Serve) -> None:
    response = call(serve(ScriptedEngine("Hi")), "sentimnet", {})
    assert response.status_code == 404
    assert "sentiment" in response.json()["error"]["message"]


def test_an_invalid_reply_is_unprocessable(serve: Serve, folder: Path) -> None:
    response = call(serve(ScriptedEngine("no JSON"), folders=[folder]), "person", {"text": "x"})
    assert response.status_code == 422
    assert response.json()["error"]["exit_code"] == "INVALID_OUTPUT"


def test_functions_are_listed_with_schemas(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine("Hello."), folders=[folder])
    functions = {each["name"]: each for each in server.client.get("/v1/functions").json()["data"]}
    assert {"gen", "classify", "sum", "translate", "sentiment", "greet"} <= set(functions)
    assert "broken" not in functions
    parameters = functions["greet"]["parameters"]
    assert parameters["required"] == ["name"]
    assert parameters["properties"]["times"] == {"type": "integer", "default": 1}
    assert parameters["properties"]["tone"]["enum"] == ["warm", "formal"]
    assert functions["sentiment"]["result"]["properties"]["label"]["enum"][-1] is None


@pytest.mark.parametrize(
    ("name", "arguments", "reply"),
    [
        ("greet", {"name": "Ada"}, "Hi."),
        ("person", {"text": "x"}, '{"name": "Ada", "age": 36}'),
        ("classify", {"text": "x", "labels": ["a", "b"]}, ""),
        ("sum", {"text": "One thing happened in Oslo in May.", "strategy": "extract"}, ""),
        ("translate", {"text": "Good morning.", "to": "German"}, "Guten Morgen."),
    ],
)
def test_a_result_matches_its_schema(
    serve: Serve, folder: Path, name: str, arguments: dict[str, Any], reply: str
) -> None:
    server = serve(ScriptedEngine(reply), folders=[folder])
    functions = {each["name"]: each for each in server.client.get("/v1/functions").json()["data"]}
    jsonschema_rs.validator_for(functions[name]["parameters"]).validate(arguments)
    result = call(server, name, arguments).json()
    jsonschema_rs.validator_for(functions[name]["result"]).validate(result)


def test_openapi_describes_each_function(serve: Serve, folder: Path) -> None:
    document = serve(ScriptedEngine("Hi"), folders=[folder]).client.get("/openapi.json").json()
    operation = document["paths"]["/v1/functions/greet"]["post"]
    assert operation["operationId"] == "greet"
    names = set(document["components"]["schemas"])
    references = {
        text.rpartition("/")[2]
        for text in json.dumps(document).split('"')
        if text.startswith("#/components/schemas/")
    }
    assert {"GreetArguments", "GreetResult", "Error"} <= references <= names
    assert "$defs" not in json.dumps(document)


def test_openapi_has_the_query_parameters_and_ranges_that_a_function_accepts(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"))
    paths = server.client.get("/openapi.json").json()["paths"]

    def query(name: str) -> dict[str, Any]:
        found = paths[f"/v1/functions/{name}"]["post"]["parameters"]
        return {each["name"]: each["schema"] for each in found}

    assert query("gen")["max_tokens"] == {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
    assert query("gen")["temperature"] == {"type": "number", "minimum": 0, "maximum": 100}
    for name in ("classify", "sentiment"):
        assert list(query(name)) == ["model"]
        body = {"text": "x", **({"labels": ["a", "b"]} if name == "classify" else {})}
        error = server.post(f"/v1/functions/{name}?temperature=1", body).json()["error"]
        assert (error["code"], error["param"]) == ("unknown_option", "temperature")


@pytest.mark.parametrize("name", ["gen", "classify", "sum", "translate", "sentiment"])
def test_the_schema_rejects_an_empty_text_as_the_function_does(serve: Serve, name: str) -> None:
    server = serve(ScriptedEngine("Hi"))
    (function,) = [
        each for each in server.client.get("/v1/functions").json()["data"] if each["name"] == name
    ]
    more = {"classify": {"labels": ["a", "b"]}, "translate": {"to": "German"}}.get(name, {})
    text = "prompt" if name == "gen" else "text"
    validator = jsonschema_rs.validator_for(function["parameters"])
    assert validator.is_valid({text: "hello", **more})
    for empty in ("", " \n"):
        assert not validator.is_valid({text: empty, **more})
        assert server.post(f"/v1/functions/{name}", {text: empty, **more}).status_code == 400


def test_a_short_form_is_a_schema_of_gen(serve: Serve) -> None:
    body = {"prompt": "x", "schema": "ok bool"}
    found = serve(ScriptedEngine('{"ok": true}')).post("/v1/functions/gen", body).json()
    assert found["value"] == {"ok": True}
