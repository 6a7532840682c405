"""What a reply offers as code, how good it is, and what a model is told of its errors."""

from __future__ import annotations

import msgspec

from llmtool.tasks.results import RanTests
from llmtool.text.code_blocks import choose, find_blocks
from llmtool.text.code_languages import CodeLanguage, known_language
from llmtool.text.syntax import Check, Diagnostic

_AROUND = 3  # lines before and after an error that are shown with their numbers
_LOOPS = 3  # times that something comes one after another before it is called a loop
_MIN_LOOP = 100  # characters that a loop fills at least: rulers and rows of a table are none
_LOOKED_AT = 1200  # characters of the end


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Code, what its check came to, and what the user's tests said of it."""

    code: str
    check: Check
    formatter: str | None = None
    tests: RanTests | None = None
    is_cut: bool = False
    n_dropped: int = 0  # lines of an unfinished end that were left out

    @property
    def is_good(self) -> bool:
        return self.check.status != "error" and (self.tests is None or self.tests.passed)

    @property
    def rank(self) -> tuple[int, int, float]:
        """Greater is better: it passes its tests, parses, has fewer errors, breaks later on."""
        if self.check.status != "error":
            return (2 if self.is_good else 1, 0, 0.0)
        errors = self.check.diagnostics
        n_lines = self.code.count("\n") + 1
        first = errors[0].line if errors and errors[0].line else 1
        return (0, -len(errors), min(first / n_lines, 1.0))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with it, of its syntax or by the tests."""
        if self.check.diagnostics or self.tests is None or self.tests.passed:
            return self.check.diagnostics
        return (Diagnostic(message=self.tests.reason),)


def take_code(reply: str, language: CodeLanguage | None) -> tuple[str, CodeLanguage | None] | None:
    """Return the code that a reply offers and its language, None without a fenced block.

    The largest block of the language wins, by whatever alias it goes; a language that is not
    known is what the fence says.

    Example:
        >>> take_code("Sure:\\n```js\\nlet x\\n```", CodeLanguage.javascript)[0]
        'let x\\n'
    """
    blocks = [
        msgspec.structs.replace(block, language=known.value if known else block.language)
        for block in find_blocks(reply)
        for known in [known_language(block.language)]
    ]
    block = choose(blocks, language.value if language else None)
    if block is None:
        return None
    code = block.code.strip("\n") + "\n"
    return code, language or known_language(block.language)


def numbered(code: str, line: int | None) -> str:
    """Return the lines around an error with their numbers, the one with the error marked.

    Example:
        >>> print(numbered("a\\nb\\nc\\n", 2))
          1 | a
        > 2 | b
          3 | c
    """
    lines = code.removesuffix("\n").split("\n")
    if not code:
        return ""
    at = min(max(line or 1, 1), len(lines))
    first, last = max(1, at - _AROUND), min(len(lines), at + _AROUND)
    width = len(str(last))
    return "\n".join(
        f"{'>' if line and number == at else ' '} {number:{width}} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )


def loops(text: str) -> bool:
    """Whether the end of a text says the same again and again: going on would not help.

    It does where the last characters are one piece three times or more (found by the borders of
    Knuth, Morris and Pratt).

    Example:
        >>> loops("x\\n" + "a(1)\\nb(2)\\n" * 12), loops("a\\nb\\n" * 12 + "the end of it")
        (True, False)
    """
    tail = text.rstrip()[-_LOOKED_AT:][::-1]  # the last character first: any start of it may count
    border = [0] * len(tail)
    k = 0
    for i in range(1, len(tail)):
        while k and tail[i] != tail[k]:
            k = border[k - 1]
        k += tail[i] == tail[k]
        border[i] = k
        if i + 1 >= _MIN_LOOP and (i + 1 - k) * _LOOPS <= i + 1:
            return True
    return False
