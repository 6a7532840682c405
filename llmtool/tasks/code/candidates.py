"""Rank candidates of generated code, and show their errors."""

from __future__ import annotations

import msgspec

from llmtool.tasks.results import TestRun
from llmtool.text.grammars import Diagnostic
from llmtool.text.syntax import Check

_CONTEXT_LINES = 3  # before and after an error
_MIN_REPETITIONS = 3
_MIN_LOOP = 100  # characters; shorter repetitions are separators or table rows
_TAIL = 1200  # characters at the end of a text that are searched for a loop


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Code with the results of its syntax check and of the user's tests.

    `n_dropped` counts the unfinished lines that were dropped from the end.
    """

    code: str
    check: Check
    formatter: str | None = None
    tests: TestRun | None = None
    is_truncated: bool = False
    n_dropped: int = 0

    @property
    def is_good(self) -> bool:
        return self.check.status != "error" and (self.tests is None or self.tests.passed)

    @property
    def rank(self) -> tuple[int, int, float]:
        """A sort key, best last: passes tests, parses, fewer errors, later first error."""
        if self.check.status != "error":
            return (2 if self.is_good else 1, 0, 0.0)
        errors = self.check.diagnostics
        n_lines = self.code.count("\n") + 1
        first = errors[0].line if errors and errors[0].line else 1
        return (0, -len(errors), min(first / n_lines, 1.0))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The syntax errors, or the failure of the tests."""
        if self.check.diagnostics or self.tests is None or self.tests.passed:
            return self.check.diagnostics
        return (Diagnostic(message=self.tests.reason),)


def number_lines(code: str, line: int | None) -> str:
    """Return the lines around an error with line numbers and a mark at the error.

    Example:
        >>> print(number_lines("a\\nb\\nc\\n", 2))
          1 | a
        > 2 | b
          3 | c
    """
    lines = code.removesuffix("\n").split("\n")
    if not code:
        return ""
    at = min(max(line or 1, 1), len(lines))
    first, last = max(1, at - _CONTEXT_LINES), min(len(lines), at + _CONTEXT_LINES)
    width = len(str(last))
    return "\n".join(
        f"{'>' if line and number == at else ' '} {number:{width}} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )


def has_loop(text: str) -> bool:
    """Return whether a text ends with at least three repetitions, as from a model in a loop.

    Repetitions are found with the failure function of Knuth, Morris and Pratt.

    Example:
        >>> has_loop("x\\n" + "a(1)\\nb(2)\\n" * 12), has_loop("a\\nb\\n" * 12 + "the end of it")
        (True, False)
    """
    tail = text.rstrip()[-_TAIL:][::-1]  # reversed, because a loop can start anywhere
    border = [0] * len(tail)
    k = 0
    for i in range(1, len(tail)):
        while k and tail[i] != tail[k]:
            k = border[k - 1]
        k += tail[i] == tail[k]
        border[i] = k
        if i + 1 >= _MIN_LOOP and (i + 1 - k) * _MIN_REPETITIONS <= i + 1:
            return True
    return False
