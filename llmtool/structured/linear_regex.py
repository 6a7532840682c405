"""Search with a stranger's regular expression in linear time.

Python's engine takes exponential time on patterns such as `^(a+)+$`. Rust's regex crate does not
backtrack; jsonschema-rs, which validates schemas here, exposes it as the keyword `pattern`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

_MAX_BYTES = 10 << 20  # of a compiled pattern
_ESCAPE_OR_CLASS = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_UNSUPPORTED = {
    r"\(\?<?[=!]": "lookahead and lookbehind are not supported",
    r"\\[1-9]|\(\?P=": "backreferences are not supported",
    r"\(\?>|[*+?}]\+": "atomic groups and possessive quantifiers are not supported",
    r"\(\?\(": "conditions are not supported",
    r"\{,\d": "{,n} is not supported; write {0,n}",
}


def check_pattern(pattern: str) -> None:
    """Check the syntax of a pattern without compiling it for the search, which is slower.

    Raises:
        ValueError: the pattern is invalid, or needs backtracking; the message gives the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Possible nested set"
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(f"not a valid regular expression: {exc}") from exc
    syntax = _ESCAPE_OR_CLASS.sub("x", pattern)
    for construct, reason in _UNSUPPORTED.items():
        if re.search(construct, syntax):
            raise ValueError(f"in a regular expression, {reason}")


def compile_search(pattern: str) -> Callable[[str], bool]:
    r"""Return a function that tells whether the pattern matches anywhere in a text.

    The syntax is Python's without what needs backtracking, such as lookaround.

    Raises:
        ValueError: the pattern is invalid, unsupported or too large; the message gives the reason.

    Example:
        >>> matches = compile_search(r"\bcaf\w\b")
        >>> matches("un café noir"), matches("cafés")
        (True, False)
    """
    import jsonschema_rs

    from llmtool.structured.patterns import from_ecma, with_unicode_classes

    check_pattern(pattern)
    schema = {"pattern": with_unicode_classes(from_ecma(pattern))}
    try:
        options = jsonschema_rs.RegexOptions(size_limit=_MAX_BYTES)
        validator = jsonschema_rs.validator_for(schema, pattern_options=options)
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        reason = "too large, or not in the syntax of Rust's regex crate"
        raise ValueError(f"not a supported regular expression: {reason}") from exc
    # In Python, $ also matches before a newline at the end.
    return lambda text: bool(
        validator.is_valid(text) or validator.is_valid(text.removesuffix("\n"))
    )
