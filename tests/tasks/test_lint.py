"""Lint: errors and warnings in templates, without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtool.errors import TemplateError
from llmtool.evals.lint import lint
from llmtool.prompts.library import Library

HEAD = "llmtool: 1\nname: x\n"
TESTED = "tests: [{vars: {text: Hi}}]\n"
TEXT = "inputs: {text: {type: text, required: true}}\n"


def found(tmp_path: Path, text: str) -> list[str]:
    """Return the findings in a template, without the file name."""
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + text)
    findings = lint(Library([tmp_path]), str(path))
    assert all(finding.file == str(path) for finding in findings)
    return [str(finding).removeprefix(f"{path}:") for finding in findings]


ERRORS = {
    "unknown key": ("promt: x", "3: unknown key 'promt'; did you mean 'prompt'?"),
    "invalid schema": (
        "prompt: x\noutput:\n  json: {type: nothing}",
        "5: output.json: JSON Schema: $.type: ",
    ),
    "invalid regex": ("prompt: x\noutput: {regex: '(?=a)b'}", "4: output.regex: "),
    "invalid grammar": ("prompt: x\noutput: {grammar: 'root = a'}", "4: output.grammar: "),
    "answer that is not JSON": (
        "prompt: x\noutput: {json: {type: object}}\nexamples:\n- {output: yes}",
        "6: examples.0: its answer is not valid JSON",
    ),
    "answer that violates its schema": (
        "prompt: x\noutput: {json: {type: object}}\nexamples:\n- {output: '{}'}\n- {output: '1'}",
        "7: examples.1: its answer does not match the schema",
    ),
    "answer that does not match": (
        "prompt: x\noutput: {regex: 'yes|no'}\nexamples: [{output: yes}, {output: maybe}]",
        "5: examples.1: its answer does not match its output",
    ),
    "test that cannot be rendered": (
        "inputs: {n: {type: int}}\nprompt: '{{ 1 / n }}'\ntests: [{vars: {n: 0}}]",
        "4: division by zero",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "error"), ERRORS.values(), ids=ERRORS)
def test_error_has_its_line(text: str, error: str, tmp_path: Path) -> None:
    (line,) = found(tmp_path, text)
    assert line.startswith(error)


def test_binary_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff")
    (finding,) = lint(Library([tmp_path]), "x")
    assert str(finding) == f"{tmp_path / 'x.yaml'}:1: not UTF-8 at byte 0"


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "unknown template 'nothing'"), ("./nothing.yaml", "nothing.yaml: no such file")],
)
def test_missing_template_is_an_error(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=message):
        lint(Library([tmp_path]), name)


WARNINGS = {
    "unused input": (
        "inputs:\n  text: {type: text}\n  tone: {type: string}\nprompt: 'A: {{ text }}'\n" + TESTED,
        "5: warning: input 'tone' is never used",
    ),
    "label without an example": (
        TEXT + "prompt: '{{ text }}'\noutput: {labels: [a, b]}\nexamples: [{text: t, output: a}]\n"
        + TESTED,
        "6: warning: no example has the label 'b'",
    ),
    "no tests": (TEXT + "prompt: '{{ text }}'", "1: warning: no tests"),
    "missing dataset": (
        TEXT + "prompt: '{{ text }}'\ntests:\n- dataset: sets/cases.jsonl",
        "6: warning: tests.0: dataset 'sets/cases.jsonl' not found in the folder",
    ),
    "text in a sentence": (
        TEXT + "prompt: 'Sum up {{ text }} now'\n" + TESTED,
        "4: warning: 'text' is not separated from the text around it",
    ),
    "text below a sentence": (
        TEXT + "prompt: |\n  Sum up.\n  {{ text }}\n" + TESTED,
        "5: warning: 'text' is not separated from the text around it",
    ),
    "long text after the input": (
        TEXT + f"prompt: |\n  A: {{{{ text }}}}\n\n  {'word ' * 40}\n" + TESTED,
        "5: warning: 199 characters follow 'text'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_weakness_is_a_warning(text: str, warning: str, tmp_path: Path) -> None:
    (line,) = found(tmp_path, text)
    assert line.startswith(warning)


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ text }}",
        "Text: {{ text }}",
        "Sum up:\n{{ text }}",
        "Sum up.\n\n{{ text }}",
        '"""\n{{ text }}\n"""\nSum up.',
        "<text>\n{{ text }}\n</text>",
        "# Text\n{{ text }}",
        "Is '{{ text }}' kind?",
        "{{ text }}\n\nSum up.",
    ],
)
def test_delimited_text_has_no_warning(prompt: str, tmp_path: Path) -> None:
    block = "".join(f"  {line}\n" for line in prompt.split("\n"))
    assert found(tmp_path, TEXT + "prompt: |\n" + block + TESTED) == []


def test_input_used_only_by_a_variant_is_used(tmp_path: Path) -> None:
    variant = "variants: {'a*': {system: 'Be {{ tone }}.'}}\n"
    inputs = "inputs: {text: {type: text}, tone: {type: string}}\n"
    assert found(tmp_path, inputs + "prompt: '{{ text }}'\n" + variant + TESTED) == []


def test_findings_of_the_base_template_are_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "llmtool: 1\nname: base\ninputs: {text: {type: text}, tone: {type: string}}\n"
        "prompt: 'Do {{ text }} now'\n" + TESTED
    )
    assert found(tmp_path, "extends: base\n") == []
    assert len(lint(Library([tmp_path]), "base")) == 2
