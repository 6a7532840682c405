"""The JSON Schema for editors is current, complete and consistent with our reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from llmtool.errors import TemplateError
from llmtool.prompts.library import Library, built_in_folder
from llmtool.prompts.schema import TemplateFile, json_schema, schema_text
from llmtool.prompts.template import parse_template
from llmtool.safe_yaml import load

HEAD = "llmtool: 1\nname: x\n"


def accepts(text: str) -> bool:
    """Whether an editor accepts the text; editors parse scalars by the core schema of YAML 1.2."""
    validator = jsonschema_rs.validator_for(json_schema())
    return bool(validator.is_valid(load(text, source="x.yaml")))


def test_schema_file_is_current() -> None:
    assert (built_in_folder() / "schema.json").read_text(encoding="utf-8") == schema_text(), (
        "run: llmtool prompts schema > prompts/schema.json"
    )


def test_schema_file_is_not_listed_as_a_template() -> None:
    assert "schema" not in Library().names()


def structs(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "TemplateFile", schema
    yield from schema["definitions"].items()


@pytest.mark.parametrize(("name", "struct"), list(structs(json_schema())))
def test_every_key_has_a_description(name: str, struct: dict[str, Any]) -> None:
    assert [key for key, part in struct["properties"].items() if "description" not in part] == []
    assert struct["additionalProperties"] is False


def test_schema_defines_every_key_without_external_references() -> None:
    schema = json_schema()
    assert list(schema["properties"]) == list(TemplateFile.__struct_encode_fields__)
    assert schema["$schema"].endswith("draft-07/schema#") and "$id" not in schema


@pytest.mark.parametrize("name", Library().names())
def test_schema_accepts_built_in_templates(name: str) -> None:
    assert accepts((built_in_folder() / f"{name}.yaml").read_text(encoding="utf-8"))


SOUND = {
    "a number as text": "description: 017\nprompt: 12",
    "a boolean as text": "prompt: x\noutput: {labels: [yes, no, 1]}",
    "a label without description": "prompt: x\noutput: {labels: {yes: , no: never}}",
    "part of an input": "extends: gen\ninputs: {prompt: {description: Ask}}",
    "no system message": "extends: gen\nsystem: null",
    "appended": "extends: gen\nexamples+: [{prompt: a, output: b}]\ntests+: [{vars: {prompt: a}}]",
}  # fmt: skip
WRONG = {
    "an unknown key": "prompt: x\nsytem: y",
    "an unknown key of a variant": "prompt: x\nvariants: {a*: {prmpt: y}}",
    "an unknown type": "prompt: x\ninputs: {a: {type: txt}}",
    "an input without a type": "prompt: x\ninputs: {a: {required: true}}",
    "two outputs": "prompt: x\noutput: {labels: [a], code: go}",
    "a parameter out of range": "prompt: x\nmodel: {params: {top_p: 2}}",
    "a bias out of range": "prompt: x\nmodel: {params: {logit_bias: {a: 101}}}",
    "no prompt": "description: x",
    "a mapping for a text": "prompt: {a: b}",
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_schema_accepts_valid_templates(text: str, tmp_path: Any) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + text)
    assert Library().load(str(path)).name == "x"
    assert accepts(HEAD + text)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_schema_rejects_invalid_templates(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(HEAD + text, source="x.yaml")
    assert not accepts(HEAD + text)
