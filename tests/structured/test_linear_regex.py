"""Regular expressions in linear time: Python's meaning, and the reasons for errors."""

from __future__ import annotations

import re
import warnings

import pytest
from offenders import every

from llmtool.structured.linear_regex import compile_search

TEXTS = (
    *("", "a", "aab", "abc", "café", "un café noir", "cafés", "naïve_3", "٣", "é-3", "é_3", "12"),
    *("yes", "yes\n", "Nein\nJa", "yes \n", "[", "]", "{", '{"a": 12}', "&", "a{2", "(=x", "\\1"),
    *("\u00a0", "\x00", "PARIS", "Paris.", "a-b", "a+b", "*", "%", "<b>", "日本語", "2024-02-29"),
)
PATTERNS = (
    *(r"^(a+)+$", r"\bcafé\b", r"^\w+$", r"^[\w-]+$", r"^[^\W\d]+$", r"^[^\W\d_]+$", r"[\W_]"),
    *(r"[\W\d]", r"[^\W.,-]", r"^\W$", r"\D", r"\S+\s\S+", r"[\s\d]$", r"^[^\s]+$", r"[[:alpha:]]"),
    *(r"[a&&b]", r"[[]", r"\x41|\u00e9", r"a{2", r"{", r'{"a": \d+}', r"}", r"]", r"(?x) a b # c"),
    *(r"\/|\ |\-", r"\<", r"\(=", r"[(?=]", r"\\1", r"[*+]+", r"\*+", r"\Aab?\Z", r"(?i)^par"),
    *(
        r"^(yes|no)$",
        r"^Ja$",
        r"(?m)^Ja$",
        r"(?s)n..J",
        r"a*?b",
        r"(?P<year>\d{4})-",
        r"a{1,2}b",
        "\0",
    ),
)


@every(pattern=PATTERNS)
def test_pattern_matches_as_in_python(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [bool(re.search(pattern, text)) for text in TEXTS]
    matches = compile_search(pattern)
    assert [matches(text) for text in TEXTS] == expected


def test_nested_repetition_takes_linear_time() -> None:
    assert not compile_search(r"^(a+)+$")("a" * 100_000 + "b")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "not a valid regular expression: missing ), unterminated subpattern at position 0"),
        ("(?<!a)b", "lookahead and lookbehind are not supported"),
        (r"(.)\1", "backreferences are not supported"),
        ("(?P<x>a)(?P=x)", "backreferences are not supported"),
        ("(a)?(?(1)b|c)", "conditions are not supported"),
        ("a{,3}", "{,n} is not supported; write {0,n}"),
        (r"[^\Wabc]", r"\W is only supported with \d and _ in a class, not as in [^\Wabc]"),
        ("(?:a{1000}){1000}", "not a supported regular expression: too large"),
    ],
)
def test_reason_is_given(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        compile_search(pattern)
