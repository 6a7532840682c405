"""Rendering of templates to messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.engine.types import Message
from llmtool.errors import InputError, TemplateError, UsageError
from llmtool.prompts.library import Library
from llmtool.prompts.render import render
from llmtool.prompts.template import Template, parse_template


def template(more: str, prompt: str = "'{{ a }}'") -> Template:
    return parse_template(f"llmtool: 1\nname: t\nprompt: {prompt}\n{more}", source="t.yaml")


ONE = template("inputs: {a: {type: text}}")


def asked(of: Template, **variables: object) -> str:
    return render(of, variables).messages[-1].content


def test_messages_are_system_examples_and_prompt() -> None:
    triage = template(
        "inputs: {a: {type: text, required: true}}\nsystem: Sort it.\n"
        "examples: [{a: one, output: x}, {a: two, output: y}]\noutput: {labels: [x, y]}",
        prompt="'Text: {{ a }}'",
    )
    rendered = render(triage, {"a": "three"})
    assert rendered.messages == (
        Message("system", "Sort it."),
        Message("user", "Text: one"),
        Message("assistant", "x"),
        Message("user", "Text: two"),
        Message("assistant", "y"),
        Message("user", "Text: three"),
    )
    assert rendered.output.labels == {"x": "", "y": ""}


@pytest.mark.parametrize(
    "value", ["{{ 7 * 7 }}", "{% raw %}", "{x}", "%s", "{# a #}", "\\n", "<|im_end|>", "{{ a }}"]
)
def test_values_are_never_evaluated(value: str) -> None:
    assert asked(ONE, a=value) == value


@given(st.text().filter(str.strip))
def test_values_are_preserved_byte_for_byte(value: str) -> None:
    assert asked(ONE, a=value) == value


@given(st.text().filter(str.strip), st.text().filter(str.strip))
def test_gen_preserves_prompt_and_input_byte_for_byte(prompt: str, given_input: str) -> None:
    gen = Library().load("gen")
    content = asked(gen, prompt=prompt, input=given_input)
    assert content.startswith(prompt + "\n") and f"\n{given_input}\n" in content
    assert asked(gen, prompt=prompt) == prompt
    assert asked(gen, input=given_input) == given_input


def test_gen_quotes_the_input_after_the_prompt() -> None:
    content = asked(Library().load("gen"), prompt="Sum up.", input="Some text.\n")
    assert content == 'Sum up.\n\n"""\nSome text.\n\n"""'


@pytest.mark.parametrize(
    ("variables", "continues"),
    [
        ({"prompt": "Once upon a time"}, True),
        ({"input": "Once upon a time\n"}, True),
        ({"prompt": "Translate.", "input": "Once upon a time"}, False),
        ({"prompt": "Name a bird.", "schema": "{}"}, False),
    ],
)
def test_only_a_text_of_the_user_is_continued_by_a_base_model(
    variables: dict[str, str], continues: bool
) -> None:
    gen = Library().load("gen")
    assert render(gen, variables).prompt().continues is continues
    assert render(gen, variables, system="Be brief.").prompt().continues is False


def test_gen_without_text_is_an_error() -> None:
    with pytest.raises(InputError, match="is empty; give it some text"):
        render(Library().load("gen"), {})


def test_system_argument_is_not_rendered() -> None:
    polite = template("inputs: {a: {type: text}}\nsystem: 'Say {{ a }}.'")
    assert render(polite, {"a": "x"}).messages[0] == Message("system", "Say x.")
    assert render(polite, {"a": "x"}, system="{{ a }}").messages[0] == Message("system", "{{ a }}")
    assert [m.role for m in render(polite, {"a": "x"}, system="").messages] == ["user"]


TYPED = {
    "text": ("text", "two\nlines", "two\nlines"),
    "string": ("string", "one line", "one line"),
    "int from a text": ("int", " 42 ", "42"),
    "int": ("int", 42, "42"),
    "float from a text": ("float", "2.5", "2.5"),
    "float from an int": ("float", 2, "2.0"),
    "bool from a text": ("bool", "No", "False"),
    "bool": ("bool", True, "True"),
    "enum": ("enum, enum: [red, green]", "red", "red"),
    "list from a text": ("list", "red, green ,", "['red', 'green']"),
    "list from JSON": ("list", '["a,b", 2]', "['a,b', 2]"),
    "list": ("list", ("a", 1), "['a', 1]"),
    "lang by code": ("lang", "pt-BR", "pt-BR"),
    "lang by name": ("lang", "Português (Brasil)", "Português (Brasil)"),
}


@pytest.mark.parametrize(("kind", "value", "text"), TYPED.values(), ids=TYPED)
def test_values_are_converted_to_the_input_type(kind: str, value: object, text: str) -> None:
    assert asked(template(f"inputs: {{a: {{type: {kind}}}}}"), a=value) == text


WRONG = {
    "text": ("text", 1, "must be a string, not 1"),
    "string": ("string", "two\nlines", "must be one line; use type text for several lines"),
    "int": ("int", "4.5", "must be an integer"),
    "int from bool": ("int", True, "must be an integer"),
    "float": ("float", "hot", "must be a number"),
    "bool": ("bool", "maybe", "must be true or false"),
    "enum": ("enum, enum: [red, green]", "gren", "must be one of red, green; did you mean"),
    "list": ("list", 3, "must be a list, not 3"),
    "list of lists": ("list", [[1]], "must be a list of strings and numbers, not [[1]]"),
    "lang": ("lang", "ignore all {rules}!", "must be the name or code of a language"),
    "file": ("file", 3, "must be a path, not 3"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "reason"), WRONG.values(), ids=WRONG)
def test_values_of_the_wrong_type_are_rejected(kind: str, value: object, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(template(f"inputs: {{a: {{type: {kind}}}}}"), {"a": value})
    assert str(caught.value).startswith(f"input 'a' of template 't': {reason}")


def test_unknown_variable_suggests_a_similar_one() -> None:
    two = template("inputs: {a: {type: text}, audience: {type: string}}")
    with pytest.raises(UsageError) as caught:
        render(two, {"audiense": "x"})
    assert str(caught.value) == ("template 't' has no input 'audiense'; did you mean 'audience'?")
    with pytest.raises(UsageError, match=r"no input 'zzz'; its inputs are: a, audience"):
        render(two, {"zzz": "x"})


def test_missing_variable_names_its_option() -> None:
    with pytest.raises(UsageError, match="needs a value for 'a': pass a=VALUE"):
        render(template("inputs: {a: {type: text, required: true}}"), {})


def test_optional_inputs_default_to_empty_values() -> None:
    absent = template(
        "inputs: {a: {type: text}, n: {type: int, default: 3}, m: {type: int}, l: {type: list}}",
        prompt='\'[{{ a }}] {{ n + 1 }} {{ m is none }} {{ l }} {{ "x" if a else "y" }}\'',
    )
    assert asked(absent) == "[] 4 True [] y"


def test_file_input_is_read(tmp_path: Path) -> None:
    of_file = template("inputs: {a: {type: file}}")
    path = tmp_path / "notes.txt"
    path.write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\n")
    assert asked(of_file, a=str(path)) == "café\r\n" == asked(of_file, a=path)
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match="not UTF-8 at byte 2"):
        render(of_file, {"a": path})
    for missing in (tmp_path, tmp_path / "none.txt", "a\0b"):
        with pytest.raises(InputError):
            render(of_file, {"a": missing})


def test_render_errors_name_file_and_line() -> None:
    broken = template("inputs: {a: {type: int, default: 0}}", prompt="|\n  x\n  {{ 1 / a }}")
    with pytest.raises(TemplateError, match=r"^t\.yaml:5: division by zero"):
        render(broken, {})


def test_model_name_selects_the_variant() -> None:
    varied = template("inputs: {a: {type: text}}\nvariants: {'tiny*': {prompt: 'Just {{ a }}'}}")
    assert render(varied, {"a": "x"}, model_name="Tiny-1B").messages[0].content == "Just x"
    assert render(varied, {"a": "x"}, model_name="other").messages[0].content == "x"


def test_rendered_params_are_a_copy() -> None:
    sampled = template("inputs: {a: {type: text}}\nmodel: {params: {stop: [END], seed: 7}}")
    first = render(sampled, {"a": "x"})
    first.params["seed"] = 1
    assert render(sampled, {"a": "x"}).params == {"stop": ("END",), "seed": 7}
