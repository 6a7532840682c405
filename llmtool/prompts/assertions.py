"""The assertions of a template, checked when it is loaded and not when a model has answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from llmtool.errors import UsageError
from llmtool.prompts.output import Output
from llmtool.prompts.schema import Assertion, Input
from llmtool.safe_yaml import core
from llmtool.suggest import suggest

METRICS = ("accuracy", "macro-f1")

# Which of value, label, min and max each type takes.
_TAKES = {
    "equals": ("value",),
    "contains": ("value",),
    "regex": ("value",),
    "is-json": (),
    "schema": ("value",),
    "label": ("value",),
    "score": ("label", "min", "max"),
    "language": ("value",),
    "syntax": ("value",),
    "max-tokens": ("value", "max"),
    "lines-kept": ("value",),
    "accuracy": ("min", "max"),
    "macro-f1": ("min", "max"),
}
_TEXTS = ("equals", "contains", "regex", "label", "language", "syntax")
_BOUNDED = ("score", *METRICS)


def check_assertion(
    assertion: Assertion,
    *,
    output: Output,
    inputs: Mapping[str, Input],
    is_dataset: bool,
) -> Assertion:
    """Return an assertion whose value has the form that `asserts` reads.

    Raises:
        ValueError: it cannot be; the text says why.

    Example:
        >>> spanish = Assertion(type="language", value="Spanish")
        >>> check_assertion(spanish, output=Output(), inputs={}, is_dataset=False).value
        'es'
    """
    name, kind = assertion.type, assertion.type.removeprefix("not-")
    for field in ("value", "label", "min", "max"):
        if getattr(assertion, field) is not None and field not in _TAKES[kind]:
            raise ValueError(f"an assertion of type {name} takes no {field}")
    if kind in METRICS and not is_dataset:
        raise ValueError(f"an assertion of type {name} is about a dataset")
    if kind in _TEXTS and not isinstance(assertion.value, str):
        raise ValueError(f"an assertion of type {name} needs a text as its value")
    if kind in ("label", "score"):
        _check_label(assertion, output)
    if kind in _BOUNDED:
        _check_bounds(assertion)
    value = str(assertion.value) if kind in _TEXTS else core(assertion.value)
    assertion = msgspec.structs.replace(assertion, value=value)
    settle = _SETTLED.get(kind)
    return settle(assertion, inputs) if settle else assertion


def _check_label(assertion: Assertion, output: Output) -> None:
    if output.kind != "labels":
        raise ValueError(f"an assertion of type {assertion.type} needs a template with labels")
    label = assertion.label if assertion.value is None else assertion.value
    if label is not None and label not in output.labels:
        raise ValueError(f"{label!r} is not among the labels{suggest(label, output.labels)}")


def _check_bounds(assertion: Assertion) -> None:
    bounds = [bound for bound in (assertion.min, assertion.max) if bound is not None]
    if not bounds:
        raise ValueError(f"an assertion of type {assertion.type} needs a min or a max")
    if not all(0 <= bound <= 1 for bound in bounds) or bounds != sorted(bounds):
        raise ValueError("min and max are between 0 and 1, and min is not above max")


def _regex(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    try:
        re.compile(assertion.value)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    return assertion


def _schema(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    from llmtool.structured.resolve import resolve

    if not isinstance(assertion.value, (str, dict)):
        raise ValueError("an assertion of type schema needs a JSON Schema or its short form")
    try:
        resolve(assertion.value)
    except UsageError as exc:
        raise ValueError(str(exc)) from exc
    return assertion


def _language(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    from llmtool.text import languages

    code = languages.find_code(assertion.value)
    if code is None:
        near = suggest(assertion.value, [*languages.NAMES.values(), *languages.NAMES])
        raise ValueError(f"unknown language {assertion.value!r}{near}")
    return msgspec.structs.replace(assertion, value=code)


def _syntax(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    from llmtool.text.syntax import LANGUAGES

    language = assertion.value.strip().lower()
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise ValueError(f"syntax: {language!r} is not supported (there are: {known})")
    return msgspec.structs.replace(assertion, value=language)


def _max_tokens(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    given = [n for n in (assertion.value, assertion.max) if n is not None]
    if len(given) != 1 or not _is_count(given[0]):
        raise ValueError("an assertion of type max-tokens needs a number of tokens as its value")
    return msgspec.structs.replace(assertion, value=int(given[0]), max=None)


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and value >= 1 and value == int(value)


def _lines_kept(assertion: Assertion, inputs: Mapping[str, Input]) -> Assertion:
    """Settle on the input that is meant: the one named, else the material of the template."""
    texts = [name for name, spec in inputs.items() if spec.type in ("text", "file")]
    if assertion.value is not None:
        if assertion.value not in texts:
            hint = suggest(str(assertion.value), texts)
            raise ValueError(f"{assertion.value!r} is not an input of type text or file{hint}")
        return assertion
    if not texts:
        raise ValueError("an assertion of type lines-kept needs a template with a text as input")
    required = [name for name in texts if inputs[name].required]
    first = next(name for name in ("input", *required, *texts) if name in texts)
    return msgspec.structs.replace(assertion, value=first)


_SETTLED: dict[str, Callable[[Assertion, Mapping[str, Input]], Assertion]] = {
    "regex": _regex,
    "schema": _schema,
    "language": _language,
    "syntax": _syntax,
    "max-tokens": _max_tokens,
    "lines-kept": _lines_kept,
}
