"""Import of templates of other tools: conversion, notes and errors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.errors import LlmtoolError, TemplateError
from llmtool.prompts.foreign import Imported, convert, detect, slug
from llmtool.prompts.render import render
from llmtool.prompts.template import Template, parse_template


def template(made: Imported) -> Template:
    return parse_template(made.text(), source="made.yaml")


def asked(made: Imported, **values: Any) -> list[tuple[str, str]]:
    rendered = render(template(made), values)
    return [(message.role, message.content) for message in rendered.messages]


LITERAL = ["{{ 7 * 7 }}", "{% raw %}", "{# note #}", "{", "{{", "}}", "{%", "{{{", "{{ '{' }}"]


@pytest.mark.parametrize("text", LITERAL)
def test_text_that_looks_like_jinja_is_escaped(text: str) -> None:
    made = convert(f"prompt: |\n  Say {text} $who{text} $who", source="x.yaml")
    assert asked(made, who="Ada") == [("user", f"Say {text} Ada{text} Ada\n\n")]


@given(st.text(alphabet="{%#} '12\n-", max_size=40))
def test_fabric_pattern_text_is_preserved(text: str) -> None:
    pattern = f"# ROLE\n\nYou are kind.\n{text}."
    made = convert(pattern, source="p.md")
    assert asked(made, input="x") == [("system", pattern), ("user", "x")]


def test_llm_variables_defaults_options_and_schema_are_converted() -> None:
    made = convert(
        "system: Speak like $voice for $$5\n"
        "prompt: |\n  Cook with ${ingredients}.\n\n  $input\n"
        "defaults: {voice: GlaDOS}\n"
        "options: {temperature: 0.5, max_output_tokens: 64}\n"
        "schema_object: {type: object, properties: {dish: {type: string}}}\n",
        source="recipe.yaml",
    )
    ours = template(made)
    assert (ours.name, made.notes) == ("recipe", [])
    assert asked(made, ingredients="leek", input="Today") == [
        ("system", "Speak like GlaDOS for $5"),
        ("user", "Cook with leek.\n\nToday"),
    ]
    assert ours.params == {"temperature": 0.5, "max_tokens": 64}
    assert ours.output.json == {"type": "object", "properties": {"dish": {"type": "string"}}}
    assert ours.inputs["input"].required and ours.inputs["input"].type == "text"
    assert ours.inputs["ingredients"].required and not ours.inputs["voice"].required


def test_llm_input_is_placed_like_in_llm() -> None:
    alone = convert("system: Sum up", source="x.yaml")
    assert asked(alone, input="A text") == [("system", "Sum up"), ("user", "A text")]
    behind = convert("prompt: 'Sum up:'", source="x.yaml")
    assert asked(behind, input="A text") == [("user", "Sum up:\n\nA text")]


FABRIC = """\
# IDENTITY and PURPOSE

You find ideas in texts. You do it well.

# STEPS

- Think of {{reader}}

# INPUT

INPUT:
"""


def test_fabric_pattern_becomes_system_text() -> None:
    made = convert(FABRIC, source="patterns/find_ideas/system.md")
    ours = template(made)
    assert (ours.name, ours.description) == ("find_ideas", "You find ideas in texts.")
    assert asked(made, reader="Ada", input="A text") == [
        ("system", FABRIC.partition("\n\n# INPUT")[0].replace("{{reader}}", "Ada")),
        ("user", "INPUT:\nA text"),
    ]
    with_user = convert(FABRIC, source="find_ideas/system.md", user="From a letter:")
    assert asked(with_user, reader="Ada", input="x")[1] == ("user", "From a letter:\n\nx")


def test_fabric_pattern_containing_the_input_becomes_the_prompt() -> None:
    made = convert("Sum up {{input}} now", source="x.md")
    assert asked(made, input="this") == [("user", "Sum up this now")]
    assert made.notes == ["the pattern contains {{input}}, so all of it became the prompt"]


FIRST = """\
---
name: Basic Prompt
description: Answers.
authors: [Ada]
model:
  api: chat
  configuration: {type: azure_openai, api_key: "${env:KEY}"}
  parameters: {temperature: 0.2, max_tokens: 128, frequency_penalty: 0.5, stop: END}
inputs:
  firstName: {type: string, sample: Jane, description: Who asks.}
  count: {type: integer, default: 3}
sample: {question: Why?}
---
system:
Help {{ firstName }}{% if count > 2 %} a lot{% endif %}: "firstName".

user:
{{question}}
"""


def test_prompty_version_1_is_converted() -> None:
    made = convert(FIRST, source="basic.prompty")
    ours = template(made)
    assert (ours.name, ours.description) == ("basic-prompt", "Answers.")
    assert asked(made, first_name="Ada", question="How?") == [
        ("system", 'Help Ada a lot: "firstName".'),
        ("user", "How?"),
    ]
    assert ours.params == {
        "temperature": 0.2,
        "max_tokens": 128,
        "stop": ("END",),
        "frequency_penalty": 0.5,
    }
    assert ours.inputs["count"].type == "int" and ours.inputs["first_name"].description
    assert [test.vars for test in ours.tests] == [{"first_name": "Jane", "question": "Why?"}]
    assert made.notes == [
        "authors: not supported; skipped",
        "variable 'firstName' was renamed to 'first_name'",
        "model: configuration: for hosted models only; skipped",
    ]


SECOND = """\
---
name: basic
model:
  id: gpt-4
  apiType: chat
  options: {temperature: 0.7, maxOutputTokens: 1000}
inputSchema:
  properties:
    - {name: question, kind: string, default: Why?}
outputs:
  answer: {kind: string, description: The answer.}
template: {format: {kind: mustache}}
---
# system:
Be {brief}.
user:
{{{question}}} {{#more}}
"""


def test_prompty_version_2_is_converted() -> None:
    made = convert(SECOND, source="basic.prompty")
    ours = template(made)
    assert asked(made) == [("system", "Be {brief}."), ("user", "Why? {{#more}}")]
    assert ours.params == {"temperature": 0.7, "max_tokens": 1000}
    assert ours.output.json == {
        "type": "object",
        "properties": {"answer": {"type": "string", "description": "The answer."}},
        "required": ["answer"],
    }
    assert made.notes == [
        "{{#more}}: not supported; left as text",
        "model: id: for hosted models only; skipped",
    ]


SAMPLES = {
    "missing value": ("sample: {name: Jane}", "required input 'question' is missing"),
    "empty value": ("sample: {name: , question: Why}", "name: must be a string, not None"),
    "mapping": ("sample: {name: {first: Jane}, question: Why}", "name: must be a string"),
    "number": ("sample: {name: Jane, question: Why, age: old}", "age: must be a number"),
    "file": ("sample: sample.json", "refers to a file, which is not read"),
    "variable file": ("sample: ${file:sample.json}", "refers to a file, which is not read"),
    "list": ("sample:\n- Jane", "must be a mapping"),
    "braces": ("sample:\n  name: {{name}}\n  question: Why", "a key must be a string"),
    "alias": ("sample: *jane", "aliases are not allowed"),
    "not YAML": ("sample: {name: [}", "not valid YAML"),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("sample", "reason"), SAMPLES.values(), ids=SAMPLES)
def test_invalid_sample_is_skipped_with_a_note(sample: str, reason: str, end: str) -> None:
    text = (
        f"---\nname: Greeting\n{sample}\ninputs: {{age: {{type: number, default: 3}}}}\n---\n"
        "user:\nI am {{name}}, {{age}}. {{question}}\n"
    )
    made = convert("\ufeff" + text.replace("\n", end), source="greeting.prompty")
    (note,) = made.notes
    assert note.startswith(f"sample: {reason}") and note.endswith("; skipped")
    ours = template(made)
    assert ours.tests == () and set(ours.inputs) == {"name", "age", "question"}
    assert asked(made, name="Jane", question="Why?")[0][1].startswith("I am Jane, 3")


@pytest.mark.parametrize(
    "text",
    [
        'Return {"a": {"b": {{name}}}}',
        "int a[] = {{1,2},{3,4}}; // {{name}}",
        "{{{name}}} and {{ and }",
        "{% {{name}}",
        "{# {{ name }}",
        "a set {x} of {{name}}: {{ 1 + }}",
        "\\frac{{{name}}}{{%2}}",
    ],
)
def test_literal_braces_in_prompty_are_text(text: str) -> None:
    made = convert(f"---\nname: x\n---\nuser:\n{text}\n", source="x.prompty")
    expected = text.replace("{{name}}", "Ada").replace("{{ name }}", "Ada")
    assert asked(made, name="Ada") == [("user", expected)]


def test_literal_braces_at_the_end_of_prompty_are_a_prefill() -> None:
    made = convert('---\nname: x\n---\nuser:\n{{a}}\nassistant:\n{"a": {{\n', source="x.prompty")
    assert template(made).prefill == '{"a": {{' and made.notes == []


TURNS = "---\nname: t\n---\nuser:\nHi\nassistant:\nHello!\nuser:\n{}\nassistant:\nSure:\n"


def test_equivalent_earlier_turns_become_examples() -> None:
    made = convert(TURNS.format("{{ question }}"), source="t.prompty")
    rendered = render(template(made), {"question": "Why?"})
    assert [(m.role, m.content) for m in rendered.messages] == [
        ("user", "Hi"),
        ("assistant", "Sure:Hello!"),
        ("user", "Why?"),
    ]
    assert rendered.prefill == "Sure:"


def test_other_earlier_turns_become_text_with_a_note() -> None:
    made = convert(TURNS.format("About {{ question }}"), source="t.prompty")
    assert asked(made, question="me") == [
        ("user", "User: Hi\n\nAssistant: Hello!\n\nUser: About me")
    ]
    assert made.notes == ["earlier turns were converted to text in the prompt"]


NOTES = {
    "a key": ("prompt: a\nfrob: 1", "frob: unknown key; skipped"),
    "tools": ("prompt: a\ntools: [x]", "tools: not supported; skipped"),
    "a model": ("prompt: a\nmodel: gpt-4", "model: skipped; choose a model with model="),
    "an option": ("prompt: a\noptions: {mirostat: 1}", "option 'mirostat': not supported"),
    "token ids": (
        "prompt: a\noptions: {logit_bias: {1: 2}}",
        "option 'logit_bias': skipped; it is for the tokens of another model",
    ),
    "a range": ("prompt: a\noptions: {top_p: 7}", "option 'top_p': value out of range"),
    "a default": ("prompt: a\ndefaults: {b: 1}", "default of 'b': unknown variable"),
    "a dollar": ("prompt: a $ 5", "a $ without a name"),
    "extract": ("prompt: a\nextract: true", "extract: converted to `output: code`"),
}


@pytest.mark.parametrize(("text", "note"), NOTES.values(), ids=NOTES)
def test_unsupported_keys_are_reported(text: str, note: str) -> None:
    (reported,) = convert(text, source="x.yaml").notes
    assert reported.startswith(note)


REFUSED = {
    "not YAML": ("x.yaml", "prompt: [", "x.yaml:2: not valid YAML: did not find"),
    "an alias": ("x.yaml", "prompt: *a", "x.yaml:1: aliases are not allowed"),
    "no prompt": ("x.yaml", "options: {}", "x.yaml:1: needs a prompt or a system"),
    "one of ours": ("x.yaml", "llmtool: 1", "x.yaml:1: already a template of llmtool"),
    "an empty pattern": ("x.md", " \n", "x.md: the file is empty"),
    "a long pattern": ("x.md", "a" * 200_000, "x.md: longer than"),
    "an open front matter": ("x.prompty", "---\nname: x\n", "x.prompty:1: the front matter is not"),
    "a bad front matter": ("x.prompty", "---\nname: [\n---\nx", "x.prompty:"),
    "no body": ("x.prompty", "---\nname: x\n---\n", "x.prompty:1: the file has no prompt"),
    "a loop over roles": (
        "x.prompty",
        "---\nname: x\n---\n{% for a in b %}\nuser:\n{{a}}\n{% endfor %}",
        "x.prompty:1: not valid Jinja",
    ),
    "a file of code": ("x.prompty", "---\nname: x\n---\n{% include 'a' %}", "x.prompty:1: "),
    "a mapping": (
        "x.prompty",
        "---\nname: x\nsample: {who: {age: 3}}\n---\n{{ who.age }}",
        "x.prompty:1: input 'who' has the unsupported type mapping",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "text", "reason"), REFUSED.values(), ids=REFUSED)
def test_invalid_files_fail_with_one_line(source: str, text: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        convert(text, source=source)
    assert str(caught.value).startswith(reason) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text", "format"),
    [
        ("a.prompty", "x", "prompty"),
        ("-", "---\nname: x\n---\nx", "prompty"),
        ("a.yaml", "x: 1", "llm"),
        ("-", "prompt: x", "llm"),
        ("a/system.md", "# IDENTITY", "fabric"),
        ("a.txt", "You are kind.", "fabric"),
    ],
)
def test_format_is_detected(source: str, text: str, format: str) -> None:
    assert detect(text, source=source) == format
    assert detect("\ufeff" + text.replace("\n", "\r\n"), source=source) == format


def test_names_are_converted_to_valid_names() -> None:
    assert slug("Ärger & Frust (v2).old") == "rger-frust-v2-old"
    made = convert("prompt: $Class $firstName $first_name $loop $_", source="x.yaml")
    assert list(template(made).inputs) == [
        *("the_class", "first_name", "first_name_2", "the_loop", "value", "input"),
    ]


@given(
    st.sampled_from(["x.yaml", "x.md", "x.prompty"]),
    st.sampled_from(["", "prompt: ", "---\nname: x\n", "---\n---\nsystem:\n"]),
    st.text(alphabet="{}%$#:-\n aI'\"[]&*|system", max_size=80),
)
def test_any_text_converts_or_fails_cleanly(source: str, head: str, rest: str) -> None:
    try:
        made = convert(head + rest, source=source, name="x")
    except LlmtoolError:
        return
    assert template(made).name == "x"


@pytest.mark.parametrize("unit", ["\n", "\n#", "# INPUT:\n", "INPUT:", "\n \n"])
def test_hostile_pattern_is_read_in_linear_time(unit: str) -> None:
    started = time.process_time()
    text = f"# STEPS{unit * (120_000 // len(unit))}x"
    convert(text, source="a/system.md", format="fabric", name="a")
    assert time.process_time() - started < 5
