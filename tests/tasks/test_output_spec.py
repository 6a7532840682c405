"""Output specifications: invalid ones, values, and errors of invalid replies."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import OutputValidationError, UsageError
from llmtool.structured.describe import describe
from llmtool.tasks.pipeline.output_spec import make_output_spec
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

SHORT = "name, year int"
GOOD = '{"name": "Ada", "year": 1815}'


@dataclass
class Person:
    name: str
    year: int


class Model(pydantic.BaseModel):
    name: str
    year: int


def toolbox(replies: Any = GOOD) -> tuple[Toolbox, ScriptedEngine]:
    engine = ScriptedEngine(replies)
    return Toolbox("scripted", engine=engine, environ={}), engine


def validation_error(replies: Any, **options: Any) -> OutputValidationError:
    box, _ = toolbox(replies)
    with pytest.raises(OutputValidationError) as caught:
        box.generate("Who?", **options)
    return caught.value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (SHORT, {"name": "Ada", "year": 1815}),
        ({"type": "object", "required": ["name"]}, {"name": "Ada", "year": 1815}),
        (Person, Person("Ada", 1815)),
        (Model, Model(name="Ada", year=1815)),
    ],
    ids=["short form", "JSON Schema", "dataclass", "pydantic"],
)
def test_value_has_the_type_of_the_schema_and_to_dict_is_plain(
    schema: object, value: object
) -> None:
    box, _ = toolbox()
    result = box.generate("Who?", schema=schema)
    assert result.value == result.choices[0].value == value
    plain = result.to_dict()
    assert plain["value"] == plain["choices"][0]["value"] == {"name": "Ada", "year": 1815}
    assert json.loads(json.dumps(plain)) == plain


def test_value_is_none_without_output_spec() -> None:
    box, _ = toolbox()
    assert box.generate("Who?").value is None


@pytest.mark.parametrize(
    ("reply", "options", "reason"),
    [
        ("Ada, 1815", {"schema": SHORT}, "not valid JSON"),
        ('{"name": "Ada", "year": "1815"}', {"schema": SHORT}, r"\$\.year"),
        ('{"name": "Ada", "year": "1815"}', {"schema": Model}, "year"),
        (
            "maybe",
            {"regex": "yes|no"},
            "does not match the regular expression; it ends with 'maybe'",
        ),
        ("yes!", {"regex": "yes|no"}, "does not match the regular expression"),
        ("c", {"grammar": 'root ::= "a" | "b"'}, "does not match the grammar"),
        (GOOD, {"schema": SHORT, "max_tokens": 2}, r"truncated at 2 tokens .*max_tokens="),
    ],
    ids=["not JSON", "type", "pydantic", "regex", "regex, longer text", "grammar", "truncated"],
)
def test_invalid_reply_raises_the_reason_with_the_reply(
    reply: str, options: dict[str, Any], reason: str
) -> None:
    error = validation_error(reply, **options)
    assert isinstance(error.result, Generation)
    assert reply.startswith(error.result.text) and error.result.text
    assert error.result.value is None
    assert re.search(reason, str(error)) and "\n" not in str(error)
    assert error.result.choices[0].error == str(error)


def test_each_of_several_replies_is_checked() -> None:
    error = validation_error([GOOD, "no", GOOD], schema=SHORT, n=3)
    assert str(error).startswith("1 of 3 replies are invalid; reply 2: the reply is not valid JSON")
    assert isinstance(error.result, Generation)
    assert [c.value is not None for c in error.result.choices] == [True, False, True]
    assert [c.error is not None for c in error.result.choices] == [False, True, False]


def test_stream_yields_the_tokens_before_it_raises() -> None:
    box, _ = toolbox("Ada, 1815")
    texts = []
    stream = box.stream_generate("Who?", schema=SHORT)
    with pytest.raises(OutputValidationError):
        for token in stream:
            texts.append(token.text)
    assert texts == ["Ada,", "1815"]
    with pytest.raises(OutputValidationError):
        _ = stream.result


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"schema": SHORT, "regex": "a"}, "schema= and regex= cannot be combined"),
        ({"grammar": "a", "regex": "a"}, "grammar= and regex= cannot be combined"),
        ({"schema": "name foo"}, "unknown type 'foo'"),
        ({"schema": {"type": "objec"}}, "objec"),
        ({"schema": 3}, "must be a JSON Schema"),
        ({"regex": "("}, "is not closed"),
        ({"grammar": "root"}, "line 1"),
        ({"grammar": "root ::= other"}, "other"),
        ({"constraint": "a"}, r"unknown option 'constraint'; valid options: template, "),
        ({"model": "big"}, "unknown option 'model'; pass model= to llmtool.Toolbox"),
        ({"logprobs": -1}, "logprobs"),
    ],
    ids=str,
)
def test_invalid_options_are_usage_errors_before_decoding(
    options: dict[str, Any], reason: str
) -> None:
    box, engine = toolbox()
    with pytest.raises(UsageError, match=reason):
        box.generate("Who?", **options)
    assert engine.prompts == []


def test_unenforced_keyword_is_a_warning() -> None:
    box, _ = toolbox("[1, 2]")
    result = box.generate("Go", schema={"type": "array", "uniqueItems": True})
    assert any("uniqueItems" in warning for warning in result.warnings)


def test_prompt_describes_the_json() -> None:
    box, engine = toolbox()
    box.generate("Extract", input="Ada was born in 1815.", schema=SHORT)
    assert '{"name": string, "year": integer}' in engine.prompts[0]
    box.generate("Extract", input="Ada was born in 1815.", schema=SHORT, variables={"schema": "X"})
    assert engine.prompts[1].endswith("X")


TEMPLATE = "llmtool: 1\nname: own\ntask: gen\ninputs:\n  {}\nprompt: '{}'\n{}"


def test_user_template_gets_the_schema_if_it_has_the_input(tmp_path: Any) -> None:
    box, engine = toolbox()
    without, with_schema = tmp_path / "without.yaml", tmp_path / "with.yaml"
    without.write_text(TEMPLATE.format("prompt: {type: text}", "{{ prompt }}", ""))
    inputs = "prompt: {type: text}\n  schema: {type: string}"
    with_schema.write_text(TEMPLATE.format(inputs, "{{ prompt }} as {{ schema }}", ""))
    box.generate("Extract", schema=SHORT, template=str(without))
    box.generate("Extract", schema=SHORT, template=str(with_schema))
    assert engine.prompts == [
        "user: Extract",
        'user: Extract as {"name": string, "year": integer}',
    ]


@pytest.mark.parametrize(
    ("output", "good", "bad", "value"),
    [
        ("json: {type: object, required: [name]}", GOOD, "[]", {"name": "Ada", "year": 1815}),
        ("regex: 'yes|no'", "yes", "maybe", None),
        ("""grammar: 'root ::= "a" | "b"'""", "a", "c", None),
    ],
    ids=["json", "regex", "grammar"],
)
def test_output_of_a_template_is_enforced(
    tmp_path: Any, output: str, good: str, bad: str, value: object
) -> None:
    path = tmp_path / "own.yaml"
    text = TEMPLATE.format("prompt: {type: text}", "{{ prompt }}", f"output:\n  {output}\n")
    path.write_text(text)
    box, _ = toolbox([good, bad])
    assert box.generate("Go", template=str(path)).value == value
    with pytest.raises(OutputValidationError):
        box.generate("Go", template=str(path))


def test_regex_option_overrides_the_output_of_the_template(tmp_path: Any) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        TEMPLATE.format("prompt: {type: text}", "{{ prompt }}", "output: {regex: 'yes|no'}\n")
    )
    box, _ = toolbox("maybe")
    assert box.generate("Go", template=str(path), regex="maybe").text == "maybe"


@pytest.mark.parametrize(
    ("regex", "text", "matches"),
    [
        ("[é]+", "éé", True),
        ("[é]+", "e", False),
        ("(?s:.)*", "any\nthing", True),
        ("a", "", False),
        ("a?", "", True),
        ("a", "aa", False),
    ],
)
def test_regex_must_match_the_whole_text(regex: str, text: str, matches: bool) -> None:
    spec = make_output_spec(regex=regex)
    assert spec is not None and spec.matches(text) is matches


NODE: dict[str, Any] = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        }
    },
}
BOMB: dict[str, Any] = {
    "$ref": "#/$defs/a0",
    "$defs": {
        f"a{i}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/a{i + 1}"} for name in "xyz"},
        }
        for i in range(30)
    },
}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            '{"a": string}',
        ),
        ({"enum": ["x", 1, None]}, '"x" | 1 | null'),
        (
            {"type": "array", "items": {"type": "number", "minimum": 0}},
            "[number (at least 0), ...]",
        ),
        ({"type": ["string", "null"], "description": "a\nname"}, "string | null (a name)"),
        (NODE, '{"next"?: Node | null}'),
        ({"not": {}}, '{"not": {}}'),
    ],
    ids=["object", "enum", "array", "types", "recursive", "no short form"],
)
def test_schema_description_is_one_line(schema: dict[str, Any], text: str) -> None:
    assert describe(schema) == text


def test_too_large_description_falls_back_to_the_schema() -> None:
    assert describe(BOMB) == json.dumps(BOMB)
