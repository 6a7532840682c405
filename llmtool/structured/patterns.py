"""Regular expressions: their size, and ECMA 262 patterns in the syntax of llguidance."""

from __future__ import annotations

import re
from typing import Any

from llmtool.errors import UsageError

MAX_EXPANDED_CHARACTERS = 100_000  # compile in 0.3 s; 1,000,000 take 5 s

# Formats of RFC 3339 without leap seconds.
DATE = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
    r"|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"

_TOKEN = re.compile(
    r"\\[pPux]\{[^}]*\}|\\c[A-Za-z]|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|\{(?P<minimum>\d+)(?:,\d*)?\}|.",
    re.DOTALL,
)
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
_UNICODE_IN_CLASS = {
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\s": r"\p{White_Space}",
    r"\S": r"\P{White_Space}",
    r"\w": _WORD,
}
_UNICODE = {**_UNICODE_IN_CLASS, r"\w": f"[{_WORD}]", r"\W": f"[^{_WORD}]", r"\Z": r"\z"}
_IN_CLASS = re.compile(r"\\[pPux]\{[^}]*\}|\\c[A-Za-z]|\\.|[\[&~]", re.DOTALL)


def check_expansion(name: str, pattern: str) -> None:
    """Reject a regex whose counted repetitions expand to a very long text, as in (a{1000}){1000}.

    Raises:
        UsageError: the expansion is too long; llguidance would take minutes or more.
    """
    groups = [[0, 0]]  # for each open group: its length, and that of its last item
    for token in _TOKEN.finditer(pattern):
        group = groups[-1]
        if token["minimum"]:
            repeated = group[1] * max(1, int(token["minimum"][:9]))
            group[0] += repeated - group[1]
            group[1] = repeated
        elif token[0] == "(":
            groups.append([0, 0])
        elif token[0] == ")" and len(groups) > 1:
            length, _ = groups.pop()
            groups[-1][0] += length
            groups[-1][1] = length
        else:
            group[0] += 1
            group[1] = 1
        if groups[-1][0] > MAX_EXPANDED_CHARACTERS:
            raise UsageError(f"{name}: expands to more than {MAX_EXPANDED_CHARACTERS:,} characters")


def rewrite(schema: Any) -> Any:
    """Return a JSON Schema with its patterns converted by `from_ecma`."""
    if isinstance(schema, list):
        return [rewrite(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: value if key in ("enum", "const") else rewrite(value) for key, value in schema.items()
    }
    if isinstance(result.get("pattern"), str):
        result["pattern"] = from_ecma(result["pattern"])
    if isinstance(found := result.get("patternProperties"), dict):
        result["patternProperties"] = {from_ecma(key): value for key, value in found.items()}
    return result


def from_ecma(pattern: str) -> str:
    r"""Return the pattern of a JSON Schema in the syntax of Rust's regex crate, if it differs.

    Example:
        >>> from_ecma(r"^\<[[&]}")
        '^<[\\[\\&]\\}'
    """
    return _TOKEN.sub(_convert, pattern)


def with_ecma_spaces(pattern: str) -> str:
    r"""Return a pattern in which \s also matches U+FEFF, as in ECMA 262."""

    def convert(token: re.Match[str]) -> str:
        text = token[0]
        if text in (r"\s", r"\S"):
            return r"[\s\ufeff]" if text == r"\s" else r"[^\s\ufeff]"
        if text[0] != "[":
            return text
        return _IN_CLASS.sub(lambda each: each[0] + r"\ufeff" * (each[0] == r"\s"), text)

    return _TOKEN.sub(convert, pattern)


def with_unicode_classes(pattern: str) -> str:
    r"""Return a pattern in which \d, \s and \w match Unicode, as in Python, not only ASCII.

    Raises:
        ValueError: \W is in a class with other word characters than \d and _.

    Example:
        >>> with_unicode_classes(r"\d[^\s]")
        '\\p{Nd}[^\\p{White_Space}]'
    """

    def convert(token: re.Match[str]) -> str:
        text = token[0]
        if text[0] != "[":
            return _UNICODE.get(text, text)
        if r"\W" in text:
            return _without_words(text)
        return _IN_CLASS.sub(lambda each: _UNICODE_IN_CLASS.get(each[0], each[0]), text)

    return _TOKEN.sub(convert, pattern)


def _without_words(text: str) -> str:
    r"""Return a class with \W, such as [^\W\d_], without nesting, which jsonschema-rs escapes."""
    negated, members = text[1] == "^", text[1:-1].lstrip("^").replace(r"\W", "").replace(r"\s", "")
    words = _WORD
    for member, part in ((r"\d", r"\p{Nd}"), ("_", r"\p{Pc}")):
        if member in members:
            members, words = members.replace(member, ""), words.replace(part, "")
    if re.search(r"\w", members):
        raise ValueError(rf"\W is only supported with \d and _ in a class, not as in {text}")
    return f"[{words}]" if negated else f"[^{words}]"


def _convert(token: re.Match[str]) -> str:
    text = token[0]
    if text in ("{", "}", "]"):  # literal, as they are not part of a quantifier or class
        return "\\" + text
    if text[0] != "[" or len(text) == 1:
        return _convert_escape(text)
    begin = 2 if text[1] == "^" else 1
    return text[:begin] + _IN_CLASS.sub(_convert_in_class, text[begin:-1]) + "]"


def _convert_in_class(token: re.Match[str]) -> str:
    return "\\" + token[0] if len(token[0]) == 1 else _convert_escape(token[0])


def _convert_escape(text: str) -> str:
    if text.startswith(r"\c") and len(text) == 3:
        return f"\\x{ord(text[2]) % 32:02x}"
    return text[1] if text in (r"\<", r"\>") else text  # word boundaries in Rust
