"""Check replies against the assertions of a template.

| type | passes if |
|---|---|
| `equals` | the reply equals the value, ignoring surrounding white space |
| `contains` | the reply contains the value (case-sensitive) |
| `regex` | the regular expression matches anywhere in the reply; it takes linear time |
| `is-json` | the whole reply is one JSON document |
| `schema` | the reply is JSON that is valid under the value, a JSON Schema or its short form |
| `label` | the predicted label is the value |
| `score` | the score of `label` (default: the predicted label) is between `min` and `max` |
| `language` | no other language is clearly more likely (`text.languages`) |
| `syntax` | the reply, or its fenced block, is well-formed Python, JSON, TOML or YAML |
| `max-tokens` | the reply has at most this many tokens |
| `lines-kept` | the reply has as many non-blank lines as the input |

`accuracy` and `macro-f1` apply to the replies to a whole dataset (`metrics`). The prefix `not-`
negates a type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.errors import OutputValidationError, format_json_error
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.schema import Assertion

if TYPE_CHECKING:
    from llmtool.structured.schema import Schema

_SHOWN = 60  # characters of a value in a reason


class EvaluatedReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply to check: its text, or the predicted label with all scores, and its length in tokens.

    `label` is None if the classification abstained. `scores` is empty for generated text.
    """

    text: str
    completion_tokens: int = 0
    label: str | None = None
    scores: dict[str, float] = {}


def find_failure(
    assertion: Assertion, reply: EvaluatedReply, inputs: Mapping[str, object] | None = None
) -> str | None:
    """Return the reason why a reply fails an assertion, or None if it passes.

    The assertion must come from a loaded template, which has validated its value. `inputs` are the
    variables of the test case. An assertion about one of `METRICS` passes for any single reply.

    Example:
        >>> from llmtool.prompts.schema import Assertion
        >>> reply = EvaluatedReply(text="Good night")
        >>> find_failure(Assertion(type="contains", value="day"), reply)
        "does not contain 'day'"
        >>> find_failure(Assertion(type="not-contains", value="day"), reply)
    """
    kind = assertion.type.removeprefix("not-")
    if kind in METRICS:
        return None
    if kind == "score":
        failure = _score(assertion, reply)
    elif kind == "lines-kept":
        failure = _lines_kept((inputs or {}).get(assertion.value, ""), reply)
    else:
        failure = _CHECKS[kind](assertion.value, reply)
    if kind == assertion.type:
        return failure
    return None if failure else _OPPOSITES[kind].format(value=_shown(assertion.value))


def describe_values(
    assertion: Assertion, reply: EvaluatedReply, inputs: Mapping[str, object]
) -> tuple[str, str]:
    """Return the value that an assertion expects, and that of a reply, as text.

    Example:
        >>> from llmtool.prompts.schema import Assertion
        >>> reply = EvaluatedReply(text="Good night", completion_tokens=4)
        >>> describe_values(Assertion(type="contains", value="day"), reply, {})
        ('day', 'Good night')
        >>> describe_values(Assertion(type="max-tokens", value=3), reply, {})
        ('3', '4')
    """
    kind, value = assertion.type.removeprefix("not-"), assertion.value
    if kind == "score":
        label = assertion.label or reply.label
        low, high = assertion.min or 0.0, 1.0 if assertion.max is None else assertion.max
        score = f"{reply.scores.get(label or '', 0.0):.3f}"
        return f"{label or 'of the label'} {low:g} to {high:g}", score
    if kind == "lines-kept":
        return str(_n_lines(str(inputs.get(value, "")))), str(_n_lines(reply.text))
    expected = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if kind == "label":
        return expected, reply.label or "no label"
    if kind == "max-tokens":
        return expected, str(reply.completion_tokens)
    return ("" if value is None else expected), reply.text


def find_metric_failure(assertion: Assertion, value: float) -> str | None:
    """Return the reason why the value of a metric fails an assertion, or None if it passes.

    Example:
        >>> from llmtool.prompts.schema import Assertion
        >>> find_metric_failure(Assertion(type="accuracy", min=0.85), 0.8)
        'accuracy 0.800 is below 0.85'
    """
    kind = assertion.type.removeprefix("not-")
    failure = _outside(kind, value, assertion)
    if kind == assertion.type:
        return failure
    return None if failure else f"{kind} {value:.3f} is within the excluded range"


def _equals(expected: Any, reply: EvaluatedReply) -> str | None:
    expected = _plain(expected)
    return None if _plain(reply.text) == expected else f"is not {_shown(expected)}"


def _contains(value: Any, reply: EvaluatedReply) -> str | None:
    return None if value in reply.text else f"does not contain {_shown(value)}"


def _regex(pattern: Any, reply: EvaluatedReply) -> str | None:
    from llmtool.structured.linear_regex import compile_search

    try:
        matches = compile_search(pattern)
    except ValueError as exc:
        return f"cannot be compared: {exc}"
    return None if matches(reply.text) else f"does not match {_shown(pattern)}"


def _is_json(_value: Any, reply: EvaluatedReply) -> str | None:
    try:
        msgspec.json.decode(reply.text.strip())
    except (msgspec.DecodeError, RecursionError) as exc:
        return f"is not JSON: {format_json_error(exc)}"
    return None


def _schema(schema: Any, reply: EvaluatedReply) -> str | None:
    try:
        _resolved(msgspec.json.encode(schema)).parse(reply.text)
    except OutputValidationError as exc:
        return str(exc).removeprefix("the reply ")
    return None


def _label(label: Any, reply: EvaluatedReply) -> str | None:
    return None if reply.label == label else f"the label is not {_shown(label)}"


def _score(assertion: Assertion, reply: EvaluatedReply) -> str | None:
    label = reply.label if assertion.label is None else assertion.label
    if label is None:
        return "no label won"
    return _outside(f"the score of {label}", reply.scores.get(label, 0.0), assertion)


def _language(code: Any, reply: EvaluatedReply) -> str | None:
    from llmtool.text import languages

    if languages.may_be_in(reply.text, code):
        return None
    found = languages.detect_language(reply.text)
    seen = f"looks like {languages.NAMES[found]}" if found else "contains no letters"
    return f"is not in {languages.NAMES[code]} ({seen})"


def _syntax(language: Any, reply: EvaluatedReply) -> str | None:
    from llmtool.text import syntax

    error = syntax.find_error(language, reply.text) if reply.text.strip() else "empty"
    return f"is not {language}: {error}" if error else None


def _max_tokens(limit: Any, reply: EvaluatedReply) -> str | None:
    n = reply.completion_tokens
    return None if n <= limit else f"has {n} tokens, more than {limit}"


def _lines_kept(text: object, reply: EvaluatedReply) -> str | None:
    expected, n = _n_lines(str(text)), _n_lines(reply.text)
    return None if n == expected else f"has {n} lines, the input {expected}"


# Checks of a reply against the value of an assertion.
_CHECKS: dict[str, Callable[[Any, EvaluatedReply], str | None]] = {
    "equals": _equals,
    "contains": _contains,
    "regex": _regex,
    "is-json": _is_json,
    "schema": _schema,
    "label": _label,
    "language": _language,
    "syntax": _syntax,
    "max-tokens": _max_tokens,
}
_OPPOSITES = {
    "equals": "is {value}",
    "contains": "contains {value}",
    "regex": "matches {value}",
    "is-json": "is JSON",
    "schema": "is valid under the schema",
    "label": "the label is {value}",
    "score": "the score is within the excluded range",
    "language": "is in {value}, or may be in it",
    "syntax": "is {value}",
    "max-tokens": "has at most {value} tokens",
    "lines-kept": "has as many lines as the input",
}


def _outside(what: str, value: float, bounds: Assertion) -> str | None:
    if bounds.min is not None and value < bounds.min:
        return f"{what} {value:.3f} is below {bounds.min:g}"
    if bounds.max is not None and value > bounds.max:
        return f"{what} {value:.3f} is above {bounds.max:g}"
    return None


def _plain(text: str) -> str:
    return "\n".join(text.strip().splitlines())


def _n_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")


@lru_cache(maxsize=16)
def _resolved(value: bytes) -> Schema:
    from llmtool.structured.resolve import resolve

    return resolve(msgspec.json.decode(value))
