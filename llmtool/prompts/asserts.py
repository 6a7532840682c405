"""What an assertion says of a reply: nothing where it holds, else the reason why it does not.

| type | holds when |
|---|---|
| `equals` | the reply is the value; white space around either does not count |
| `contains` | the value is in the reply, case and all |
| `regex` | the Python expression is found somewhere in the reply |
| `is-json` | the whole reply is one JSON document |
| `schema` | it is, and holds the value: a JSON Schema or the short form |
| `label` | the label of a classification is the value |
| `score` | the score of `label`, or of the label that won, is from `min` to `max` |
| `language` | no other language is clearly likelier (`text.languages`) |
| `syntax` | the reply, or the fenced block that it is, is well-formed Python, JSON, TOML or YAML |
| `max-tokens` | the reply took no more tokens than the value |
| `lines-kept` | it has as many lines that are not blank as the input has |

`accuracy` and `macro-f1` are about the replies to a whole dataset (`metrics`). `not-` before a type
is its exact opposite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from llmtool.errors import OutputValidationError, format_json_error
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.schema import Assertion

if TYPE_CHECKING:
    from llmtool.structured.schema import Schema

_SHOWN = 60  # characters of a value in a reason


class EvaluatedReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model said: a text, or a label with the score of each, and the length in tokens.

    `label` is None where a classification abstained. `scores` is empty for a text.
    """

    text: str
    completion_tokens: int = 0
    label: str | None = None
    scores: dict[str, float] = {}


def find_failure(
    assertion: Assertion, reply: EvaluatedReply, inputs: Mapping[str, object] | None = None
) -> str | None:
    """Return why an assertion does not hold for a reply, or None.

    The assertion is one of a loaded template, whose values have been checked. `inputs` are the
    variables of the case. One of `METRICS` says nothing of a single reply.

    Example:
        >>> reply = EvaluatedReply(text="Good night")
        >>> find_failure(Assertion(type="contains", value="day"), reply)
        "does not contain 'day'"
        >>> find_failure(Assertion(type="not-contains", value="day"), reply)
    """
    kind = assertion.type.removeprefix("not-")
    if kind in METRICS:
        return None
    failure = _CHECKS[kind](assertion, reply, inputs or {})
    if kind == assertion.type:
        return failure
    return None if failure else _OPPOSITES[kind].format(value=_shown(assertion.value))


def find_metric_failure(assertion: Assertion, value: float) -> str | None:
    """Return why an assertion about a metric does not hold for its value, or None.

    Example:
        >>> find_metric_failure(Assertion(type="accuracy", min=0.85), 0.8)
        'accuracy 0.800 is below 0.85'
    """
    kind = assertion.type.removeprefix("not-")
    failure = _outside(kind, value, assertion)
    if kind == assertion.type:
        return failure
    return None if failure else f"{kind} {value:.3f} is within what it must not be"


def _equals(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    expected = _plain(assertion.value)
    return None if _plain(reply.text) == expected else f"is not {_shown(expected)}"


def _contains(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    value = assertion.value
    return None if value in reply.text else f"does not contain {_shown(value)}"


def _regex(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    value = assertion.value
    return None if re.search(value, reply.text) else f"does not match {_shown(value)}"


def _is_json(
    _assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    try:
        msgspec.json.decode(reply.text.strip())
    except (msgspec.DecodeError, RecursionError) as exc:
        return f"is not JSON: {format_json_error(exc)}"
    return None


def _schema(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    try:
        _resolved(msgspec.json.encode(assertion.value)).parse(reply.text)
    except OutputValidationError as exc:
        return str(exc).removeprefix("the reply ")
    return None


def _label(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    if reply.label == assertion.value:
        return None
    return f"the label is not {_shown(assertion.value)}"


def _score(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    label = reply.label if assertion.label is None else assertion.label
    if label is None:
        return "no label won"
    return _outside(f"the score of {label}", reply.scores.get(label, 0.0), assertion)


def _language(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    from llmtool.text import languages

    if languages.may_be_in(reply.text, assertion.value):
        return None
    found = languages.detect_language(reply.text)
    seen = f"rather {languages.NAMES[found]}" if found else "it has no letters"
    return f"is not in {languages.NAMES[assertion.value]} ({seen})"


def _syntax(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    from llmtool.text import syntax

    error = syntax.find_error(assertion.value, reply.text) if reply.text.strip() else "it is empty"
    return f"is not {assertion.value}: {error}" if error else None


def _max_tokens(
    assertion: Assertion, reply: EvaluatedReply, _inputs: Mapping[str, object]
) -> str | None:
    n = reply.completion_tokens
    return None if n <= assertion.value else f"took {n} tokens, more than {assertion.value}"


def _lines_kept(
    assertion: Assertion, reply: EvaluatedReply, inputs: Mapping[str, object]
) -> str | None:
    expected = _n_lines(str(inputs.get(assertion.value, "")))
    n = _n_lines(reply.text)
    return None if n == expected else f"has {n} lines, the input {expected}"


_CHECKS: dict[str, Callable[[Assertion, EvaluatedReply, Mapping[str, object]], str | None]] = {
    "equals": _equals,
    "contains": _contains,
    "regex": _regex,
    "is-json": _is_json,
    "schema": _schema,
    "label": _label,
    "score": _score,
    "language": _language,
    "syntax": _syntax,
    "max-tokens": _max_tokens,
    "lines-kept": _lines_kept,
}
_OPPOSITES = {
    "equals": "is {value}",
    "contains": "contains {value}",
    "regex": "matches {value}",
    "is-json": "is JSON",
    "schema": "holds the schema",
    "label": "the label is {value}",
    "score": "the score is within what it must not be",
    "language": "is in {value}, or may be",
    "syntax": "is {value}",
    "max-tokens": "took no more than {value} tokens",
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
