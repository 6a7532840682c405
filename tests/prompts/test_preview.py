"""Previews show placeholders for missing inputs."""

from __future__ import annotations

import pytest

from llmtool.errors import UsageError
from llmtool.prompts.preview import preview
from llmtool.prompts.template import parse_template

INPUTS = """\
llmtool: 1
name: x
inputs:
  text: {type: text, required: true}
  tone: {type: enum, enum: [kind, curt], required: true}
  tags: {type: list, required: true}
  source: {type: file, required: true}
  n: {type: int, required: true}
  more: {type: string}
"""


def shown(prompt: str, **values: object) -> str:
    template = parse_template(INPUTS + f"prompt: |\n  {prompt}\n", source="x.yaml")
    return preview(template, values).messages[-1].content


def test_missing_required_inputs_appear_as_placeholders() -> None:
    text = "{{ text }} {{ tone }} {{ tags|join }} {{ source }} {{ n }} {{ more }}|"
    assert shown(text) == "<text> <tone> <tags> <source> <n> |"
    assert shown("{{ text }} {{ tone }}", text="Hi", tone="kind") == "Hi kind"


def test_given_values_are_validated() -> None:
    with pytest.raises(UsageError, match="must be one of kind, curt"):
        shown("{{ tone }}", tone="rude")


def test_missing_number_in_a_calculation_is_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        shown("{{ n + 1 }}")
    assert str(caught.value).startswith("template 'x' needs a value: pass n=VALUE to `run`, or ")
    assert shown("{{ n + 1 }}", n="2") == "3"
