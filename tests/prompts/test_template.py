"""The format of template files: parsing, and errors with file, line and reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.errors import TemplateError
from llmtool.prompts.template import Template, parse_template
from llmtool.structured.short_form import read_short_form

TRIAGE = """\
llmtool: 1
name: ticket-triage
description: Classify a support ticket.
task: classify
inputs:
  text: {type: text, required: true, max_tokens: 1500}
  urgent: {type: bool, default: no}
system: Classify the support ticket.
prompt: "Ticket:\\n{{ text }}"
examples:
  - {text: "I was charged twice", output: billing}
output:
  labels: {billing: "invoices, refunds", bug: "something is broken", NO: 12:30}
model: {prefer: [starter], params: {temperature: 0, max_tokens: 32, thinking: false}}
variants:
  "big*": {prompt: "{{ text }}"}
tests:
  - vars: {text: "Can't log in since Monday"}
    assert: [{type: label, value: bug}, {type: score, label: bug, min: 0.6}]
  - dataset: triage.jsonl
    assert: [{type: accuracy, min: 0.85}]
  - invariant: {text: ["Maria cannot log in", "Ahmed cannot log in"]}
"""


def test_complete_template_is_parsed() -> None:
    template = parse_template(TRIAGE, source="triage.yaml")
    assert (template.name, template.task) == ("ticket-triage", "classify")
    assert template.inputs["text"].required and template.inputs["text"].max_tokens == 1500
    assert template.inputs["urgent"].default == "no"
    assert template.system is not None and template.system.text == "Classify the support ticket."
    assert template.prompt.text == "Ticket:\n{{ text }}"
    assert template.examples[0].variables == {"text": "I was charged twice"}
    assert template.examples[0].output == "billing"
    assert template.params == {"temperature": 0.0, "max_tokens": 32, "thinking": False}
    assert template.prefer == ("starter",)
    assert template.tests[0].assertions[1].min == 0.6
    assert template.tests[1].dataset == "triage.jsonl"
    assert template.tests[2].invariant == {"text": ["Maria cannot log in", "Ahmed cannot log in"]}


def test_strings_that_look_like_other_types_stay_strings() -> None:
    template = parse_template(TRIAGE, source="triage.yaml")
    assert template.output.kind == "labels"
    assert template.output.labels == {
        "billing": "invoices, refunds",
        "bug": "something is broken",
        "NO": "12:30",
    }
    plain = minimal("description: 017\nsystem: 1.50\ninputs: {a: {type: enum, enum: [NO, 1, on]}}")
    assert plain.description == "017"
    assert plain.system is not None and plain.system.text == "1.50"
    assert plain.inputs["a"].enum == ("NO", "1", "on")


def minimal(more: str = "", *, prompt: str = "prompt: Hello") -> Template:
    return parse_template(f"llmtool: 1\nname: x\n{prompt}\n{more}", source="f")


def test_minimal_template_has_defaults() -> None:
    template = minimal()
    assert template.task == "gen" and template.output.kind == "text" and template.params == {}


OUTPUTS = {
    "output: text": ("text", {}),
    "output: code": ("code", {"code": ""}),
    "output: {code: python}": ("code", {"code": "python"}),
    "output: {regex: '[0-9]+'}": ("regex", {"regex": "[0-9]+"}),
    "output: {grammar: 'root ::= \"a\"'}": ("grammar", {"grammar": 'root ::= "a"'}),
    "output: {labels: [yes, no]}": ("labels", {"labels": {"yes": "", "no": ""}}),
    "output: {labels: {yes: , no: never}}": ("labels", {"labels": {"yes": "", "no": "never"}}),
    "output: {json: {type: object, maxProperties: 3, enum: [1, '1', true]}}": (
        "json",
        {"json": {"type": "object", "maxProperties": 3, "enum": [1, "1", True]}},
    ),
    "output:\n  json: name, age int": ("json", {"json": read_short_form("name, age int")}),
    "output:\n  json: |\n    name: full name\n    tags list\n": (
        "json",
        {"json": read_short_form("name: full name\ntags list")},
    ),
    """output: {json: '{"type": "string"}'}""": ("json", {"json": {"type": "string"}}),
}


@pytest.mark.parametrize(("text", "expected"), OUTPUTS.items(), ids=list(OUTPUTS))
def test_output_kinds(text: str, expected: tuple[str, dict[str, object]]) -> None:
    output = minimal(text).output
    assert output.kind == expected[0]
    for field, value in expected[1].items():
        assert getattr(output, field) == value


A = "inputs: {a: {type: text}}"
REFUSED = {
    "an empty file": ("", "f:1: not a template: must be a mapping that starts with `llmtool: 1`"),
    "a list": ("- a", "f:1: not a template: must be a mapping that starts with `llmtool: 1`"),
    "no format": ("name: x", "f:1: add `llmtool: 1` (the format version)"),
    "a later format": (
        "llmtool: 2",
        "f:1: llmtool: unsupported format version; this llmtool reads version 1",
    ),
    "YAML errors": (
        "llmtool: 1\nname: @x",
        "f:2: not valid YAML: found character that cannot start any token",
    ),
    "no name": ("llmtool: 1\nprompt: a", "f:1: name is missing"),
    "no prompt": ("llmtool: 1\nname: a", "f:1: prompt is missing"),
    "an extended template": (
        "llmtool: 1\nname: a\nextends: b",
        "f:3: only a template loaded by name or path can extend another",
    ),
}
REFUSED_PARTS = {
    "an unknown key": ("sytem: x", "f:4: unknown key 'sytem'; did you mean 'system'?"),
    "an unknown task": (
        "task: sumarize",
        "f:4: task: unknown value 'sumarize'; choose one of chat, classify, code, gen, "
        "sum, translate",
    ),
    "an unknown key of an input": (
        "inputs:\n  a: {type: text}\n  b:\n    type: text\n    requird: true",
        "f:8: unknown key 'requird'; did you mean 'required'?",
    ),
    "an unknown type": (
        "inputs:\n  a: {type: text}\n  b: {type: txt}",
        "f:6: inputs.b.type: unknown value 'txt'; did you mean 'text'?",
    ),
    "a missing type": ("inputs:\n  a: {required: true}", "f:5: inputs.a.type is missing"),
    "an invalid variable name": (
        "inputs: {a-b: {type: text}}",
        "f:4: 'a-b' is not a valid input name; use a name such as max_words",
    ),
    "a reserved name": (
        "inputs: {loop: {type: text}}",
        "f:4: 'loop' is not a valid input name; use a name such as max_words",
    ),
    "an enum without values": (
        "inputs: {a: {type: enum}}",
        "f:4: inputs.a: an input of type enum needs its values (enum: [...])",
    ),
    "a default of another type": (
        "inputs:\n  a:\n    type: int\n    default: many",
        "f:7: inputs.a.default: must be an integer, not 'many'",
    ),
    "a default that is not in the enum": (
        "inputs: {a: {type: enum, enum: [red, green], default: gren}}",
        "f:4: inputs.a.default: must be one of red, green; did you mean 'green'?",
    ),
    "required with a default": (
        "inputs: {a: {type: int, required: true, default: 1}}",
        "f:4: inputs.a: a required input cannot have a default",
    ),
    "a boolean in other words": (
        "inputs: {a: {type: int, required: maybe}}",
        "f:4: inputs.a.required: must be true or false, not a string",
    ),
    "a limit of zero": (
        "inputs: {a: {type: text, max_tokens: 0}}",
        "f:4: inputs.a.max_tokens: must be an integer of at least 1",
    ),
    "an unknown parameter": (
        "model:\n  params:\n    temprature: 1",
        "f:6: unknown key 'temprature'; did you mean 'temperature'?",
    ),
    "a parameter out of range": (
        "model: {params: {top_p: 2}}",
        "f:4: model.params.top_p: must be a number of at most 1",
    ),
    "a bias out of range": (
        "model: {params: {logit_bias: {'yes': 101}}}",
        "f:4: model.params.logit_bias.yes: must be a number of at most 100",
    ),
    "a parameter of another type": (
        "model: {params: {temperature: hot}}",
        "f:4: model.params.temperature: must be a number, not a string",
    ),
    "an unknown output": (
        "output: {lables: [a]}",
        "f:4: unknown key 'lables'; did you mean 'labels'?",
    ),
    "two outputs": (
        "output: {labels: [a], code: go}",
        "f:4: output: needs exactly one kind, got labels, code",
    ),
    "no labels": (
        "output: {labels: []}",
        "f:4: output.labels: labels must be unique and not empty",
    ),
    "a label twice": (
        "output: {labels: [a, a]}",
        "f:4: output.labels: labels must be unique and not empty",
    ),
    "a broken pattern": (
        "output: {regex: '['}",
        "f:4: output.regex: unterminated character set at position 0",
    ),
    "a pattern with a huge number": (
        "output: {regex: 'a{99999999999}'}",
        "f:4: output.regex: the repetition number is too large",
    ),
    "an unknown type in the short form of a schema": (
        "output:\n  json: name, age itn",
        "f:5: output.json: unknown type 'itn' of field 'age'; use str, int, float, bool, date, "
        "time, datetime, list, object, any, list[…], {…} or a|b|c, and put commas between fields",
    ),
    "a number as a schema": (
        "output: {json: 5}",
        "f:4: output.json: must be a schema, such as 'name, age int', not 5",
    ),
    "true as a schema": (
        "output:\n  json: true",
        "f:5: output.json: must be a schema, such as 'name, age int', not true",
    ),
    "a list as a schema": (
        "output: {json: [a, b]}",
        "f:4: output.json: must be a string or a mapping, not a list",
    ),
    "a misspelt variable in the system message": (
        A + "\nsystem: |\n  Be brief.\n  {{ aa }}",
        "f:7: unknown input 'aa'; did you mean 'a'?",
    ),
    "an example without an answer": (
        A + "\nexamples:\n  - {a: x}",
        "f:6: examples.0: 'output' must be a string",
    ),
    "an unknown variable in an example": (
        A + "\nexamples:\n  - {a: x, output: y}\n  - {b: x, output: y}",
        "f:7: unknown input 'b'",
    ),
    "a required variable missing in an example": (
        "inputs: {a: {type: text, required: true}}\nexamples: [{output: y}]",
        "f:5: examples.0: required input 'a' is missing",
    ),
    "an answer that is not a label": (
        "output: {labels: [spam, ham]}\nexamples:\n  - {output: sapm}",
        "f:6: examples.0: unknown label 'sapm'; did you mean 'spam'?",
    ),
    "an unknown key of a variant": (
        "variants:\n  a*: {prompt: x}\n  b*: {prmpt: x}",
        "f:6: unknown key 'prmpt'; did you mean 'prompt'?",
    ),
    "a misspelt variable in a variant": (
        A + "\nvariants:\n  big*:\n    prompt: '{{ b }}'",
        "f:7: unknown input 'b'",
    ),
    "a test of nothing": (
        "tests:\n  - assert: [{type: is-json}]",
        "f:5: tests.0: needs exactly one of vars, dataset and invariant",
    ),
    "an unknown assertion": (
        "tests:\n  - vars: {}\n    assert: [{type: contain}]",
        "f:6: tests.0.assert.0.type: unknown value 'contain'; did you mean 'contains'?",
    ),
    "an assertion about no label": (
        "output: {labels: [spam]}\ntests:\n  - vars: {}\n    assert: [{type: label, value: ham}]",
        "f:7: unknown label 'ham'",
    ),
    "an assertion without its bound": (
        "tests:\n  - dataset: d.jsonl\n    assert: [{type: accuracy}]",
        "f:6: an assertion of type accuracy needs min or max",
    ),
    "an invariant of one": (
        A + "\ntests:\n  - invariant: {a: [x]}",
        "f:6: tests.0.invariant: needs lists of the same length, at least 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_invalid_file_is_rejected(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text, source="f")
    assert str(caught.value) == message


@pytest.mark.parametrize(("more", "message"), REFUSED_PARTS.values(), ids=REFUSED_PARTS)
def test_invalid_parts_fail_with_their_line(more: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        minimal(more)
    assert str(caught.value) == message


PROMPTS = {
    "a misspelt variable": (
        "prompt: |\n  First line.\n  {{ txt }}",
        "f:5: unknown input 'txt'; did you mean 'text'?",
    ),
    "a misspelt variable between quotes": (
        'prompt: "{{ txt }}"',
        "f:3: unknown input 'txt'; did you mean 'text'?",
    ),
    "bad syntax": ("prompt: |\n  {% if text %}\n  {{ text", "f:5: unexpected end of template"),
    "an unknown filter": (
        "prompt: '{{ text|uper }}'",
        "f:3: unknown filter 'uper'; did you mean 'upper'?",
    ),
}


@pytest.mark.parametrize(("prompt", "message"), PROMPTS.values(), ids=PROMPTS)
def test_invalid_prompt_fails_at_load(prompt: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        minimal("inputs: {text: {type: text}}", prompt=prompt)
    assert str(caught.value).startswith(message)


def test_variant_changes_only_its_keys() -> None:
    template = minimal(
        "system: Be brief.\nmodel: {params: {temperature: 0.5, max_tokens: 9}}\n"
        "examples: [{output: one}]\n"
        "variants:\n"
        "  big*: {prompt: Big, model: {params: {max_tokens: 99}}, examples+: [{output: two}]}\n"
        "  'B*': {system: null}\n"
    )
    big = template.for_model("Big-7B")
    assert big.prompt.text == "Big"
    assert big.params == {"temperature": 0.5, "max_tokens": 99}
    assert [example.output for example in big.examples] == ["one", "two"]
    assert big.system is not None
    assert template.for_model("bart").system is None
    assert template.for_model("other") is template and template.for_model(None) is template


@given(st.text(alphabet="abein: -\n{}[]'|tyxp", max_size=60))
def test_any_text_parses_or_fails_with_a_line(text: str) -> None:
    try:
        parse_template("llmtool: 1\nname: x\nprompt: a\n" + text, source="f")
    except TemplateError as exc:
        assert str(exc).startswith("f:")


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("str", "string"),
        ("Integer", "int"),
        ("number", "float"),
        ("boolean", "bool"),
        ("TEXT", "text"),
    ],
)
def test_input_types_have_synonyms(written: str, known: str) -> None:
    text = f"llmtool: 1\nname: hi\ninputs: {{who: {{type: {written}}}}}\nprompt: Hi {{{{ who }}}}"
    assert parse_template(text, source="hi.yaml").inputs["who"].type == known
