"""Convert a regular expression to llama.cpp's grammar format, for servers that have no other."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

from llmtool.errors import UsageError

_MAX_CODE_POINT = 0x10FFFF
_Ranges = list[tuple[int, int]]
_CATEGORIES: dict[str, _Ranges] = {
    "DIGIT": [(48, 57)],
    "SPACE": [(9, 13), (32, 32)],
    # Beyond ASCII also what is not a letter: the reply is checked again.
    "WORD": [(48, 57), (65, 90), (95, 95), (97, 122), (0xAA, _MAX_CODE_POINT)],
}


def to_gbnf(pattern: str) -> str:
    r"""Return a grammar whose texts match the whole pattern.

    Raises:
        UsageError: the pattern has what grammars lack, such as lookaround, `\b` and flags.

    Example:
        >>> print(to_gbnf("(?:a|bc)+[0-9]{2}"))
        root ::= (("\U00000061" | "\U00000062" "\U00000063"))+ ([\U00000030-\U00000039]){2}
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = _parse(pattern)
    if parsed.state.flags & ~re.UNICODE:
        raise _unsupported("flags")
    return f"root ::= {_sequence(parsed)}"


def _parse(pattern: str) -> Any:
    try:
        from re import _parser as parser  # type: ignore[attr-defined]
    except ImportError:  # Python 3.10
        import sre_parse as parser
    return parser.parse(pattern)


def _sequence(items: Iterable[tuple[Any, Any]]) -> str:
    return " ".join(filter(None, (_item(str(op), value) for op, value in items))) or '""'


def _item(op: str, value: Any) -> str:
    if op == "LITERAL":
        return f'"{_escape(value)}"'
    if op in ("NOT_LITERAL", "ANY", "IN"):
        return _class(_ranges(op, value))
    if op == "BRANCH":
        return f"({' | '.join(map(_sequence, value[1]))})"
    if op == "SUBPATTERN" and not (value[1] or value[2]):
        return f"({_sequence(value[3])})"
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        return f"({_sequence(value[2])}){_quantifier(value[0], value[1])}"
    if op == "AT" and str(value) in (
        "AT_BEGINNING",
        "AT_BEGINNING_STRING",
        "AT_END",
        "AT_END_STRING",
    ):
        return ""
    raise _unsupported(str(value if op == "AT" else op).lower().replace("_", " "))


def _quantifier(least: int, most: Any) -> str:
    if str(most) == "MAXREPEAT":
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    if (least, most) == (0, 1):
        return "?"
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _ranges(op: str, value: Any) -> _Ranges:
    if op == "ANY":
        return _complement([(10, 10)])
    if op == "NOT_LITERAL":
        return _complement([(value, value)])
    if op == "LITERAL":
        return [(value, value)]
    if op == "RANGE":
        return [value]
    if op == "CATEGORY":
        name = str(value).removeprefix("CATEGORY_")
        known = _CATEGORIES[name.removeprefix("NOT_")]
        return _complement(known) if name.startswith("NOT_") else known
    is_negated = bool(value) and str(value[0][0]) == "NEGATE"
    found = [each for kind, item in value[is_negated:] for each in _ranges(str(kind), item)]
    return _complement(found) if is_negated else found


def _complement(ranges: _Ranges) -> _Ranges:
    found, at = [], 0
    for first, last in sorted(ranges):
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    return [*found, (at, _MAX_CODE_POINT)] if at <= _MAX_CODE_POINT else found


def _class(ranges: _Ranges) -> str:
    return (
        "["
        + "".join(
            _escape(first) if first == last else f"{_escape(first)}-{_escape(last)}"
            for first, last in ranges
        )
        + "]"
    )


def _escape(code_point: int) -> str:
    return f"\\U{code_point:08X}"


def _unsupported(what: str) -> UsageError:
    return UsageError(f"regular expression for the server: {what} not supported in its grammars")
