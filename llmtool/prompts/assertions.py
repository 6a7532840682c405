"""Validation of a template's assertions when the template is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from llmtool.errors import UsageError
from llmtool.prompts.output import Output
from llmtool.prompts.schema import Assertion, Input
from llmtool.safe_yaml import core
from llmtool.suggest import suggest

METRICS = ("accuracy", "macro-f1")

# The fields of value, label, min and max that each type accepts.
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
    """Validate an assertion and return it with its value in the form that `asserts` expects.

    Raises:
        ValueError: the assertion is not valid; the message gives the reason.

    Example:
        >>> from llmtool.prompts.output import Output
        >>> from llmtool.prompts.schema import Assertion
        >>> spanish = Assertion(type="language", value="Spanish")
        >>> check_assertion(spanish, output=Output(), inputs={}, is_dataset=False).value
        'es'
    """
    name, kind = assertion.type, assertion.type.removeprefix("not-")
    for field in ("value", "label", "min", "max"):
        if getattr(assertion, field) is not None and field not in _TAKES[kind]:
            raise ValueError(f"an assertion of type {name} does not accept {field!r}")
    if kind in METRICS and not is_dataset:
        raise ValueError(f"an assertion of type {name} needs a dataset")
    if kind in _TEXTS and not isinstance(assertion.value, str):
        raise ValueError(f"an assertion of type {name} needs a string as its value")
    if kind in ("label", "score"):
        _check_label(assertion, output)
    if kind in _BOUNDED:
        _check_bounds(assertion)
    value = str(assertion.value) if kind in _TEXTS else core(assertion.value)
    assertion = msgspec.structs.replace(assertion, value=value)
    normalize = _NORMALIZERS.get(kind)
    return normalize(assertion, inputs) if normalize else assertion


def _check_label(assertion: Assertion, output: Output) -> None:
    if output.kind != "labels":
        raise ValueError(f"an assertion of type {assertion.type} needs a template with labels")
    label = assertion.label if assertion.value is None else assertion.value
    if label is not None and label not in output.labels:
        raise ValueError(f"unknown label {label!r}{suggest(label, output.labels)}")


def _check_bounds(assertion: Assertion) -> None:
    bounds = [bound for bound in (assertion.min, assertion.max) if bound is not None]
    if not bounds:
        raise ValueError(f"an assertion of type {assertion.type} needs min or max")
    if not all(0 <= bound <= 1 for bound in bounds) or bounds != sorted(bounds):
        raise ValueError("min and max must be between 0 and 1, and min must not exceed max")


def _regex(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    from llmtool.structured.linear_regex import check_pattern

    check_pattern(assertion.value)
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
        raise ValueError(f"syntax: unsupported language {language!r}; choose one of {known}")
    return msgspec.structs.replace(assertion, value=language)


def _max_tokens(assertion: Assertion, _inputs: Mapping[str, Input]) -> Assertion:
    limits = [n for n in (assertion.value, assertion.max) if n is not None]
    if len(limits) != 1 or not _is_count(limits[0]):
        raise ValueError("an assertion of type max-tokens needs a number of tokens as its value")
    return msgspec.structs.replace(assertion, value=int(limits[0]), max=None)


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and value >= 1 and value == int(value)


def _lines_kept(assertion: Assertion, inputs: Mapping[str, Input]) -> Assertion:
    """Set the value to the input to compare with: the named one, else the template's main text."""
    texts = [name for name, spec in inputs.items() if spec.type in ("text", "file")]
    if assertion.value is not None:
        if assertion.value not in texts:
            hint = suggest(str(assertion.value), texts)
            raise ValueError(f"{assertion.value!r} is not an input of type text or file{hint}")
        return assertion
    if not texts:
        raise ValueError(
            "an assertion of type lines-kept needs a template with an input of type text or file"
        )
    required = [name for name in texts if inputs[name].required]
    first = next(name for name in ("input", *required, *texts) if name in texts)
    return msgspec.structs.replace(assertion, value=first)


_NORMALIZERS: dict[str, Callable[[Assertion, Mapping[str, Input]], Assertion]] = {
    "regex": _regex,
    "schema": _schema,
    "language": _language,
    "syntax": _syntax,
    "max-tokens": _max_tokens,
    "lines-kept": _lines_kept,
}
