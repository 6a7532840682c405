"""llguidance's errors in one line, without the grammars and regexes that we generate for it."""

from __future__ import annotations

import re

_MAX_REASON = 300

# Errors of Rust's regex parser, which llguidance uses, in shorter words.
_PARSE_ERRORS = {
    "unclosed counted repetition": "'{' is not closed",
    "unclosed character class": "'[' is not closed",
    "unclosed group": "'(' is not closed",
    "unopened group": "')' has no opening '('",
    "unclosed capture group name": "the group name is not closed with '>'",
    "look-around, including look-ahead and look-behind, is not supported": (
        "look-around is not supported; rewrite it without (?=…), (?!…), (?<=…) and (?<!…)"
    ),
    "backreferences are not supported": "backreferences are not supported",
    "exceed the maximum number of nested parentheses/brackets (250)": "nested deeper than 250",
}
# Zero-width assertions: llguidance supports only ^ and $, at the ends.
_ASSERTIONS = {
    "Start": "^ is allowed only at the beginning",
    "End": "$ is allowed only at the end",
    "WordUnicode": r"\b is not supported",
    "WordUnicodeNegate": r"\B is not supported",
}
_ASSERTION = re.compile(r"lookarounds not supported yet; (\w+) in regex /")
_CARETS = re.compile(r"\n( *)(\^+)[ ^]*\nerror: (.*)")
_GRAMMAR_LISTING = re.compile(r"\n +\d+ \| |\n<non-verbose/>|\nbacktrace|\n  +\d+: ")
_LOCATION = re.compile(r"^at \d+\(\d+\): |failed to compile JSON schema: |invalid regex .*?: ")


def explain_regex(error: str) -> str:
    """Return why llguidance rejected a regex.

    Example:
        >>> explain_regex("error: …\\n    a{4\\n     ^^\\nerror: unclosed counted repetition")
        "'{' is not closed"
    """
    assertion = _ASSERTION.search(error)
    if assertion:
        return _ASSERTIONS.get(assertion[1], f"the assertion {assertion[1]} is not supported")
    carets = _CARETS.search(error)
    if carets is None:
        return explain(error)
    if carets[3] in _PARSE_ERRORS:
        return _PARSE_ERRORS[carets[3]]
    line = error[: carets.start()].rpartition("\n")[2]
    begin = len(carets[1])
    at = line[begin : begin + len(carets[2])]
    if carets[3] == "repetition operator missing expression":
        return f"nothing to repeat before '{at}'"
    return f"{carets[3]}: '{at}'" if at else carets[3]


def explain(error: str) -> str:
    """Return any other error of llguidance in one line, "" if there is none."""
    reason = " ".join(_LOCATION.sub("", _GRAMMAR_LISTING.split(error)[0]).split())
    return reason[:_MAX_REASON]


def explain_schema(error: str) -> str:
    """Return why llguidance rejected a JSON Schema, for errors not about a pattern."""
    reason = explain(error)
    if "recursion limit exceeded" in reason:
        return "nested too deeply"
    _, unsatisfiable, why = reason.partition("Unsatisfiable schema: ")
    if not unsatisfiable:
        return reason
    # The others describe what llguidance made of the schema.
    is_typed = why.startswith(("min", "max", "required")) or "incompatible types" in why
    return f"no value satisfies it: {why}" if is_typed else "no value satisfies it"


def quote(pattern: str) -> str:
    """Return a regex as typed, in one line, shortened after 60 characters."""
    line = pattern.replace("\r", "\\r").replace("\n", "\\n")
    return f"'{line}'" if len(line) <= 60 else f"'{line[:60]}…'"
