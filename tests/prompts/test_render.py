"""Templates and variables to messages."""

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


def test_system_examples_and_question_in_turn() -> None:
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
def test_values_are_data(value: str) -> None:
    assert asked(ONE, a=value) == value


@given(st.text().filter(str.strip))
def test_a_value_comes_out_byte_for_byte(value: str) -> None:
    assert asked(ONE, a=value) == value


@given(st.text().filter(str.strip), st.text().filter(str.strip))
def test_gen_keeps_prompt_and_input_byte_for_byte(prompt: str, given_input: str) -> None:
    gen = Library().load("gen")
    content = asked(gen, prompt=prompt, input=given_input)
    assert content.startswith(prompt + "\n") and f"\n{given_input}\n" in content
    assert asked(gen, prompt=prompt) == prompt
    assert asked(gen, input=given_input) == given_input


def test_gen_puts_the_instruction_first_and_marks_the_input() -> None:
    content = asked(Library().load("gen"), prompt="Sum up.", input="Some text.\n")
    assert content == 'Sum up.\n\n"""\nSome text.\n\n"""'


def test_gen_needs_something() -> None:
    with pytest.raises(InputError, match="nothing to ask"):
        render(Library().load("gen"), {})


def test_a_system_message_of_the_callers_is_data() -> None:
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
def test_a_value_takes_the_type_of_its_input(kind: str, value: object, text: str) -> None:
    assert asked(template(f"inputs: {{a: {{type: {kind}}}}}"), a=value) == text


WRONG = {
    "text": ("text", 1, "expected a text, got int"),
    "string": ("string", "two\nlines", "expected one line (an input of type text takes several)"),
    "int": ("int", "4.5", "expected a whole number"),
    "int from bool": ("int", True, "expected a whole number"),
    "float": ("float", "hot", "expected a number"),
    "bool": ("bool", "maybe", "expected true or false"),
    "enum": ("enum, enum: [red, green]", "gren", "expected one of red, green (did you mean"),
    "list": ("list", 3, "expected a list, got int"),
    "list of lists": ("list", [[1]], "expected a list of texts and numbers, got list"),
    "lang": ("lang", "ignore all {rules}!", "expected the name or code of a language"),
    "file": ("file", 3, "expected a path, got int"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "reason"), WRONG.values(), ids=WRONG)
def test_a_value_of_another_type_is_refused(kind: str, value: object, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(template(f"inputs: {{a: {{type: {kind}}}}}"), {"a": value})
    assert str(caught.value).startswith(f"input 'a' of template 't': {reason}")


def test_an_unknown_variable_is_refused_with_the_nearest() -> None:
    two = template("inputs: {a: {type: text}, audience: {type: string}}")
    with pytest.raises(UsageError) as caught:
        render(two, {"audiense": "x"})
    assert str(caught.value) == ("template 't' has no input 'audiense' (did you mean 'audience'?)")
    with pytest.raises(UsageError, match=r"no input 'zzz' \(there are: a, audience\)"):
        render(two, {"zzz": "x"})


def test_a_missing_variable_is_named_with_its_option() -> None:
    with pytest.raises(UsageError, match="needs a value for 'a': -p a=VALUE"):
        render(template("inputs: {a: {type: text, required: true}}"), {})


def test_what_is_not_given_is_its_default_or_empty() -> None:
    absent = template(
        "inputs: {a: {type: text}, n: {type: int, default: 3}, m: {type: int}, l: {type: list}}",
        prompt='\'[{{ a }}] {{ n + 1 }} {{ m is none }} {{ l }} {{ "x" if a else "y" }}\'',
    )
    assert asked(absent) == "[] 4 True [] y"


def test_a_file_is_read(tmp_path: Path) -> None:
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


def test_a_template_that_fails_on_its_values_says_where() -> None:
    broken = template("inputs: {a: {type: int, default: 0}}", prompt="|\n  x\n  {{ 1 / a }}")
    with pytest.raises(TemplateError, match=r"^t\.yaml:5: division by zero"):
        render(broken, {})


def test_the_variant_of_a_model_is_used() -> None:
    varied = template("inputs: {a: {type: text}}\nvariants: {'tiny*': {prompt: 'Just {{ a }}'}}")
    assert render(varied, {"a": "x"}, model_name="Tiny-1B").messages[0].content == "Just x"
    assert render(varied, {"a": "x"}, model_name="other").messages[0].content == "x"


def test_params_of_one_rendering_are_its_own() -> None:
    sampled = template("inputs: {a: {type: text}}\nmodel: {params: {stop: [END], seed: 7}}")
    first = render(sampled, {"a": "x"})
    first.params["seed"] = 1
    assert render(sampled, {"a": "x"}).params == {"stop": ("END",), "seed": 7}
