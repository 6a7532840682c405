"""Assertions about replies: when they pass, their failure messages, and validation at load."""

from __future__ import annotations

from typing import Any

import pytest

from llmtool.errors import TemplateError
from llmtool.prompts.asserts import EvaluatedReply, find_failure, find_metric_failure
from llmtool.prompts.schema import Assertion
from llmtool.prompts.template import Template, parse_template

ADA = '{"name": "Ada", "age": 36}'
SCHEMA = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}
HOLDS: dict[str, tuple[dict[str, Any], str]] = {
    "equals": ({"type": "equals", "value": "Paris"}, " Paris\n"),
    "equals of several lines": ({"type": "equals", "value": "a\nb"}, "a\r\nb"),
    "contains": ({"type": "contains", "value": "Par"}, "in Paris"),
    "regex": ({"type": "regex", "value": "(?i)^par"}, "Paris"),
    "is-json": ({"type": "is-json"}, f" {ADA}\n"),
    "a scalar is JSON": ({"type": "is-json"}, "12"),
    "schema in the short form": ({"type": "schema", "value": "name, age int"}, ADA),
    "schema": ({"type": "schema", "value": SCHEMA}, ADA),
    "language": ({"type": "language", "value": "de"}, "Die Rechnung ist noch nicht bezahlt."),
    "language of two words": ({"type": "language", "value": "de"}, "Guten Morgen"),
    "a near relative": ({"type": "language", "value": "no"}, "Det er en god dag i dag, tenker jeg"),
    "syntax": ({"type": "syntax", "value": "python"}, "def f():\n    return 1"),
    "syntax in a fence": ({"type": "syntax", "value": "json"}, "```json\n[1]\n```"),
    "toml": ({"type": "syntax", "value": "toml"}, "[a]\nb = 1"),
    "yaml": ({"type": "syntax", "value": "yaml"}, "a: &x [1]\nb: *x"),
    "max-tokens": ({"type": "max-tokens", "value": 7}, "seven tokens"),
    "lines-kept": ({"type": "lines-kept", "value": "text"}, "eins\nzwei\n\n"),
}
FAILS: dict[str, tuple[dict[str, Any], str, str]] = {
    "equals": ({"type": "equals", "value": "Paris"}, "Paris.", "is not 'Paris'"),
    "contains": ({"type": "contains", "value": "par"}, "Paris", "does not contain 'par'"),
    "a long value": (
        {"type": "contains", "value": "x" * 100},
        "",
        f"does not contain '{'x' * 59}…'",
    ),
    "regex": ({"type": "regex", "value": "^is$"}, "Paris", "does not match '^is$'"),
    "is-json": (
        {"type": "is-json"},
        "Here: {}",
        "is not JSON: invalid character (byte 0)",
    ),
    "schema": (
        {"type": "schema", "value": "name, age int"},
        '{"name": "Ada", "age": "old"}',
        'does not match the schema: $.age: "old" is not of type "integer"',
    ),
    "language": (
        {"type": "language", "value": "de"},
        "The invoice was paid on Monday.",
        "is not in German (looks like English)",
    ),
    "a language of numbers": (
        {"type": "language", "value": "de"},
        "12 34",
        "is not in German (contains no letters)",
    ),
    "syntax": (
        {"type": "syntax", "value": "python"},
        "def f(:",
        "is not python: line 1, column 7: invalid syntax",
    ),
    "code between words": (
        {"type": "syntax", "value": "json"},
        "Here:\n```json\n[1]\n```",
        "is not json: line 1, column 1: Expecting value",
    ),
    "no code": ({"type": "syntax", "value": "python"}, " \n", "is not python: empty"),
    "prose is not yaml": (
        {"type": "syntax", "value": "yaml"},
        "Here is the list",
        "is not yaml: a single text, not a mapping or list",
    ),
    "max-tokens": ({"type": "max-tokens", "value": 6}, "", "has 7 tokens, more than 6"),
    "lines-kept": (
        {"type": "lines-kept", "value": "text"},
        "eins zwei",
        "has 1 lines, the input 2",
    ),
}
INPUTS = {"text": "one\n\ntwo\n"}


def fail(assertion: dict[str, Any], text: str) -> str | None:
    reply = EvaluatedReply(text=text, completion_tokens=7)
    return find_failure(Assertion(**assertion), reply, INPUTS)


@pytest.mark.parametrize(("assertion", "text"), HOLDS.values(), ids=HOLDS)
def test_passing_assertion_has_no_reason_but_its_negation_has(
    assertion: dict[str, Any], text: str
) -> None:
    assert fail(assertion, text) is None
    assert fail({**assertion, "type": f"not-{assertion['type']}"}, text)


@pytest.mark.parametrize(("assertion", "text", "reason"), FAILS.values(), ids=FAILS)
def test_failing_assertion_has_a_reason_but_its_negation_has_none(
    assertion: dict[str, Any], text: str, reason: str
) -> None:
    assert fail(assertion, text) == reason
    assert fail({**assertion, "type": f"not-{assertion['type']}"}, text) is None


BUG = EvaluatedReply(text="bug", label="bug", scores={"bug": 0.7, "account": 0.3})
NONE = EvaluatedReply(text="", scores={"bug": 0.5, "account": 0.5})


@pytest.mark.parametrize(
    ("assertion", "reply", "reason"),
    [
        ({"type": "label", "value": "bug"}, BUG, None),
        ({"type": "label", "value": "account"}, BUG, "the label is not 'account'"),
        ({"type": "label", "value": "bug"}, NONE, "the label is not 'bug'"),
        ({"type": "not-label", "value": "bug"}, BUG, "the label is 'bug'"),
        ({"type": "not-label", "value": "bug"}, NONE, None),
        ({"type": "score", "min": 0.7}, BUG, None),
        ({"type": "score", "min": 0.71}, BUG, "the score of bug 0.700 is below 0.71"),
        ({"type": "score", "min": 0.1}, NONE, "no label won"),
        ({"type": "score", "label": "account", "max": 0.3}, BUG, None),
        (
            {"type": "score", "label": "account", "max": 0.2},
            BUG,
            "the score of account 0.300 is above 0.2",
        ),
        (
            {"type": "not-score", "label": "account", "max": 0.3},
            BUG,
            "the score is within the excluded range",
        ),
    ],
    ids=str,
)
def test_assertions_about_labels_and_scores(
    assertion: dict[str, Any], reply: EvaluatedReply, reason: str | None
) -> None:
    assert find_failure(Assertion(**assertion), reply) == reason


def test_assertions_about_metrics() -> None:
    accuracy = Assertion(type="accuracy", min=0.8, max=0.9)
    assert find_metric_failure(accuracy, 0.8) is None
    assert find_metric_failure(accuracy, 0.79) == "accuracy 0.790 is below 0.8"
    assert find_metric_failure(accuracy, 0.95) == "accuracy 0.950 is above 0.9"
    above = Assertion(type="not-macro-f1", min=0.8)
    assert find_metric_failure(above, 0.79) is None
    assert find_metric_failure(above, 0.8) == "macro-f1 0.800 is within the excluded range"
    assert find_failure(accuracy, BUG) is None


HEAD = "llmtool: 1\nname: t\nprompt: '{{ text }}'\ninputs: {text: {type: text}, n: {type: int}}\n"
LABELS = "output: {labels: [account, bug]}\n"


def load(assertion: str, *, more: str = "", test: str = "vars: {}") -> Template:
    text = f"{HEAD}{more}tests:\n  - {test}\n    assert:\n      - {assertion}\n"
    return parse_template(text, source="f")


REFUSED = {
    "{type: is-json, value: x}": "an assertion of type is-json does not accept 'value'",
    "{type: contains, value: x, min: 1}": "an assertion of type contains does not accept 'min'",
    "{type: contains}": "an assertion of type contains needs a string as its value",
    "{type: accuracy, min: 0.5}": "an assertion of type accuracy needs a dataset",
    "{type: label, value: bug}": "an assertion of type label needs a template with labels",
    "{type: not-score, min: 0.5}": "an assertion of type not-score needs a template with labels",
    "{type: regex, value: '['}": (
        "not a valid regular expression: unterminated character set at position 0"
    ),
    "{type: language, value: Germn}": ("unknown language 'Germn'; did you mean 'German'?"),
    "{type: syntax, value: cobol}": (
        "syntax: unsupported language 'cobol'; choose one of python, json, toml, yaml"
    ),
    "{type: schema}": "an assertion of type schema needs a JSON Schema or its short form",
    "{type: max-tokens}": "an assertion of type max-tokens needs a number of tokens as its value",
    "{type: max-tokens, value: few}": (
        "an assertion of type max-tokens needs a number of tokens as its value"
    ),
    "{type: lines-kept, value: n}": "'n' is not an input of type text or file",
}


@pytest.mark.parametrize(("assertion", "reason"), REFUSED.items(), ids=list(REFUSED))
def test_invalid_assertion_fails_at_load(assertion: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load(assertion)
    assert str(caught.value) == f"f:8: {reason}"


def test_invalid_schema_fails_at_load() -> None:
    with pytest.raises(TemplateError, match="f:8: JSON Schema: .*strin"):
        load("{type: schema, value: {type: strin}}")


@pytest.mark.parametrize("bounds", ["min: 2", "max: -1", "min: 0.9, max: 0.1"])
def test_bounds_must_be_between_0_and_1(bounds: str) -> None:
    with pytest.raises(TemplateError, match="between 0 and 1, and min must not exceed max"):
        load(f"{{type: score, {bounds}}}", more=LABELS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd.csv", "is not a path below"),
        ("../d.csv", "is not a path below"),
        ("a/../../d.csv", "is not a path below"),
        ("~/d.csv", "is not a path below"),
        ("a\\d.csv", "is not a path below"),
        ("C:d.csv", "is not a path below"),
        ("d.txt", "does not end in .jsonl, .csv, .tsv"),
    ],
)
def test_dataset_outside_the_template_folder_is_rejected(name: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=f"^f:6: dataset: .* {reason}"):
        load("{type: accuracy, min: 0.5}", test=f"dataset: '{name}'")


@pytest.mark.parametrize(
    ("assertion", "value"),
    [
        ("{type: equals, value: 12}", "12"),
        ("{type: language, value: pt-BR}", "pt"),
        ("{type: language, value: Norwegian}", "no"),
        ("{type: syntax, value: JSON}", "json"),
        ("{type: max-tokens, value: 40}", 40),
        ("{type: max-tokens, max: 40}", 40),
        ("{type: lines-kept}", "text"),
        ("{type: schema, value: {maxProperties: 3}}", {"maxProperties": 3}),
    ],
)
def test_assertion_values_are_normalized_at_load(assertion: str, value: object) -> None:
    (settled,) = load(assertion).tests[0].assertions
    assert settled.value == value and settled.max is None


def test_tests_have_file_and_line() -> None:
    test = load("{type: is-json}").tests[0]
    assert (test.file, test.line) == ("f", 6)
