"""Templates of other tools as ours: what is carried over, what is told, what is refused."""

from __future__ import annotations

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
def test_what_looks_like_jinja_stays_text(text: str) -> None:
    made = convert(f"prompt: |\n  Say {text} $who{text} $who", source="x.yaml")
    assert asked(made, who="Ada") == [("user", f"Say {text} Ada{text} Ada\n\n")]


@given(st.text(alphabet="{%#} '12\n-", max_size=40))
def test_any_text_of_a_pattern_comes_out_as_it_is(text: str) -> None:
    pattern = f"# ROLE\n\nYou are kind.\n{text}."
    made = convert(pattern, source="p.md")
    assert asked(made, input="x") == [("system", pattern), ("user", "x")]


def test_llm_variables_defaults_options_and_schema() -> None:
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


def test_llm_puts_the_input_where_llm_does() -> None:
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


def test_a_fabric_pattern() -> None:
    made = convert(FABRIC, source="patterns/find_ideas/system.md")
    ours = template(made)
    assert (ours.name, ours.description) == ("find_ideas", "You find ideas in texts.")
    assert asked(made, reader="Ada", input="A text") == [
        ("system", FABRIC.partition("\n\n# INPUT")[0].replace("{{reader}}", "Ada")),
        ("user", "INPUT:\nA text"),
    ]
    with_user = convert(FABRIC, source="find_ideas/system.md", user="From a letter:")
    assert asked(with_user, reader="Ada", input="x")[1] == ("user", "From a letter:\n\nx")


def test_a_fabric_pattern_with_the_input_inside_is_a_prompt() -> None:
    made = convert("Sum up {{input}} now", source="x.md")
    assert asked(made, input="this") == [("user", "Sum up this now")]
    assert made.notes == ["{{input}} is inside the pattern, which became the prompt as a whole"]


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


def test_a_prompty_file_of_the_first_generation() -> None:
    made = convert(FIRST, source="basic.prompty")
    ours = template(made)
    assert (ours.name, ours.description) == ("basic-prompt", "Answers.")
    assert asked(made, first_name="Ada", question="How?") == [
        ("system", 'Help Ada a lot: "firstName".'),
        ("user", "How?"),
    ]
    assert ours.params == {"temperature": 0.2, "max_tokens": 128, "stop": ("END",)}
    assert ours.inputs["count"].type == "int" and ours.inputs["first_name"].description
    assert [test.vars for test in ours.tests] == [{"first_name": "Jane", "question": "Why?"}]
    assert made.notes == [
        "authors: there is no counterpart; left out",
        "the variable 'firstName' is the input 'first_name'",
        "model: configuration is of a hosted model; left out",
        "the option 'frequency_penalty' has no counterpart and is left out",
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


def test_a_prompty_file_of_the_second_generation() -> None:
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
        "{{#more}} has no counterpart; it is kept as text",
        "model: id is of a hosted model; left out",
    ]


TURNS = "---\nname: t\n---\nuser:\nHi\nassistant:\nHello!\nuser:\n{}\nassistant:\nSure:\n"


def test_earlier_turns_are_examples_where_that_is_the_same() -> None:
    made = convert(TURNS.format("{{ question }}"), source="t.prompty")
    rendered = render(template(made), {"question": "Why?"})
    assert [(m.role, m.content) for m in rendered.messages] == [
        ("user", "Hi"),
        ("assistant", "Sure:Hello!"),
        ("user", "Why?"),
    ]
    assert rendered.prefill == "Sure:"


def test_other_earlier_turns_become_text_and_that_is_told() -> None:
    made = convert(TURNS.format("About {{ question }}"), source="t.prompty")
    assert asked(made, question="me") == [
        ("user", "User: Hi\n\nAssistant: Hello!\n\nUser: About me")
    ]
    assert made.notes == ["earlier turns became part of the prompt, as text"]


TOLD = {
    "a key": ("prompt: a\nfrob: 1", "frob: not a key of llm that we know; left out"),
    "tools": ("prompt: a\ntools: [x]", "tools: there is no counterpart; left out"),
    "a model": ("prompt: a\nmodel: gpt-4", "model: it names a model of llm's"),
    "an option": ("prompt: a\noptions: {logit_bias: 1}", "the option 'logit_bias' has no"),
    "a range": ("prompt: a\noptions: {top_p: 7}", "the option 'top_p' has a value that is out of"),
    "a default": ("prompt: a\ndefaults: {b: 1}", "the default of 'b' is not of a variable"),
    "a dollar": ("prompt: a $ 5", "a single $ before no name"),
    "extract": ("prompt: a\nextract: true", "extract: became `output: code`"),
}


@pytest.mark.parametrize(("text", "note"), TOLD.values(), ids=TOLD)
def test_nothing_is_dropped_silently(text: str, note: str) -> None:
    (said,) = convert(text, source="x.yaml").notes
    assert said.startswith(note)


REFUSED = {
    "not YAML": ("x.yaml", "prompt: [", "x.yaml:2: not valid YAML: did not find"),
    "an alias": ("x.yaml", "prompt: *a", "x.yaml:1: aliases are not allowed"),
    "no prompt": ("x.yaml", "options: {}", "x.yaml:1: there is neither a prompt nor a system"),
    "one of ours": ("x.yaml", "llmtool: 1", "x.yaml:1: this is a template of llmtool"),
    "an empty pattern": ("x.md", " \n", "x.md:1: there is nothing in it"),
    "a long pattern": ("x.md", "a" * 200_000, "x.md:1: longer than"),
    "an open front matter": ("x.prompty", "---\nname: x\n", "x.prompty:1: the front matter has no"),
    "a bad front matter": ("x.prompty", "---\nname: [\n---\nx", "x.prompty:"),
    "no body": ("x.prompty", "---\nname: x\n---\n", "x.prompty:1: there is no prompt"),
    "a loop over roles": (
        "x.prompty",
        "---\nname: x\n---\n{% for a in b %}\nuser:\n{{a}}\n{% endfor %}",
        "x.prompty:1: a part of it is no Jinja that we take",
    ),
    "a file of code": ("x.prompty", "---\nname: x\n---\n{% include 'a' %}", "x.prompty:1: "),
    "a mapping": (
        "x.prompty",
        "---\nname: x\nsample: {who: {age: 3}}\n---\n{{ who.age }}",
        "x.prompty:1: the input 'who' is a mapping",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_none_is_refused_in_one_line(source: str, text: str, reason: str) -> None:
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
def test_the_format_is_found_out(source: str, text: str, format: str) -> None:
    assert detect(text, source=source) == format


def test_names_are_made_to_fit_ours() -> None:
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
def test_any_file_is_a_template_or_an_error(source: str, head: str, rest: str) -> None:
    try:
        made = convert(head + rest, source=source, name="x")
    except LlmtoolError:
        return
    assert template(made).name == "x"
