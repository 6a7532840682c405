"""Parse positions in files, and select the text around a cursor that fits into the context."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.code.diffs import split_lines

CountTokens = Callable[[str], int]
_POSITION = re.compile(r"(.+?):(\d+)(?::(\d+))?")
_RANGE = re.compile(r"(.+?):(\d+)(?:-(\d+))?")
_SHARE_BEFORE = 0.75  # of the tokens; text before the cursor is more useful than text after it


class CursorContext(msgspec.Struct, frozen=True, kw_only=True):
    """The text before and after the cursor, without the `n_dropped` lines that did not fit."""

    before: str
    after: str
    n_dropped: int = 0


def parse_position(argument: str) -> tuple[str, int, int | None]:
    """Return (file, line, column) of `FILE:LINE[:COL]`; line and column count from 1.

    Raises:
        UsageError: the argument has another form.

    Example:
        >>> parse_position("src/a.py:12:5"), parse_position("a.py:3")
        (('src/a.py', 12, 5), ('a.py', 3, None))
    """
    found = _POSITION.fullmatch(argument)
    if found is None:
        raise UsageError(f"invalid position {argument!r}; use FILE:LINE or FILE:LINE:COL")
    return found[1], int(found[2]), int(found[3]) if found[3] else None


def parse_range(argument: str) -> tuple[str, int | None, int | None]:
    """Return (file, first line, last line) of `FILE[:A[-B]]`; lines are None for a whole file.

    Example:
        >>> parse_range("a.py:3-9"), parse_range("a.py:3"), parse_range("a.py")
        (('a.py', 3, 9), ('a.py', 3, 3), ('a.py', None, None))
    """
    found = _RANGE.fullmatch(argument)
    if found is None:
        return argument, None, None
    first = int(found[2])
    return found[1], first, int(found[3]) if found[3] else first


def select_lines(text: str, first: int, last: int, *, file: str) -> str:
    """Return the lines `first` to `last` of a text.

    Raises:
        UsageError: the range is not valid for the text.
    """
    lines = split_lines(text)
    if first > last:
        raise UsageError(
            f"{file}: invalid lines {first}-{last}; the first must not be after the last"
        )
    if not 1 <= first <= last <= len(lines):
        raise UsageError(
            f"{file}: lines {first}-{last} not found; it has {format_count(len(lines), 'line')}"
        )
    return "".join(lines[first - 1 : last])


def split_at(text: str, line: int, column: int | None, *, file: str) -> tuple[str, str]:
    """Return the text before and after a position, by default the end of the line.

    Columns count characters from 1: column 1 is the start of the line. The empty line after the
    last one is also valid.

    Raises:
        UsageError: the position is not in the text.

    Example:
        >>> split_at("ab\\ncd\\n", 2, 2, file="x"), split_at("ab\\ncd\\n", 1, None, file="x")
        (('ab\\nc', 'd\\n'), ('ab', '\\ncd\\n'))
    """
    lines = split_lines(text)
    if not text or text.endswith("\n"):
        lines.append("")
    if not 1 <= line <= len(lines):
        raise UsageError(f"{file}: line {line} not found; the last line is {len(lines)}")
    content = lines[line - 1].rstrip("\r\n")
    if column is None:
        column = len(content) + 1
    if not 1 <= column <= len(content) + 1:
        raise UsageError(
            f"{file}: column {column} not found; line {line} has "
            f"{format_count(len(content), 'character')}"
        )
    at = sum(map(len, lines[: line - 1])) + column - 1
    return text[:at], text[at:]


def truncate_around(
    before: str, after: str, *, max_tokens: int, count: CountTokens
) -> CursorContext:
    """Return the whole lines around the cursor that fit into `max_tokens`.

    Three quarters of the tokens are for the text before the cursor; tokens that one side does not
    need go to the other. The line of the cursor is always included, even if it does not fit.
    """
    upwards = split_lines(before)[::-1]
    downwards = split_lines(after)
    cursor_line = sum(count(line) for line in (*upwards[:1], *downwards[:1]))
    available = max(max_tokens - cursor_line, 0)
    wanted_after = _sizes_that_fit(downwards[1:], available, count)
    max_before = max(int(available * _SHARE_BEFORE), available - sum(wanted_after))
    sizes_before = _sizes_that_fit(upwards[1:], max_before, count)
    sizes_after = _sizes_that_fit(downwards[1:], available - sum(sizes_before), count)
    n_up, n_down = 1 + len(sizes_before), 1 + len(sizes_after)
    return CursorContext(
        before="".join(upwards[:n_up][::-1]),
        after="".join(downwards[:n_down]),
        n_dropped=len(upwards[n_up:]) + len(downwards[n_down:]),
    )


def _sizes_that_fit(lines: Iterable[str], max_tokens: int, count: CountTokens) -> list[int]:
    """Return the token counts of the first lines that fit together."""
    sizes: list[int] = []
    left = max_tokens
    for line in lines:
        left -= (n := count(line))
        if left < 0:
            break
        sizes.append(n)
    return sizes
