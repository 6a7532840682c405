"""The position of a cursor in a file, and the text around it that fits into the context."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.code.diffs import lines_of

CountTokens = Callable[[str], int]
_POSITION = re.compile(r"(.+?):(\d+)(?::(\d+))?")
_RANGE = re.compile(r"(.+?):(\d+)(?:-(\d+))?")
_SHARE_BEFORE = 0.75  # of the tokens: the text before the cursor says more than that after it


class CursorContext(msgspec.Struct, frozen=True, kw_only=True):
    """The text before and after the cursor, without the `n_dropped` lines that did not fit."""

    before: str
    after: str
    n_dropped: int = 0


def parse_position(argument: str) -> tuple[str, int, int | None]:
    """Return (file, line, column) of `FILE:LINE[:COL]`; both count from 1.

    Raises:
        UsageError: the argument has another form.

    Example:
        >>> parse_position("src/a.py:12:5"), parse_position("a.py:3")
        (('src/a.py', 12, 5), ('a.py', 3, None))
    """
    found = _POSITION.fullmatch(argument)
    if found is None:
        raise UsageError(f"{argument}: write the place as FILE:LINE or FILE:LINE:COL")
    return found[1], int(found[2]), int(found[3]) if found[3] else None


def parse_range(argument: str) -> tuple[str, int | None, int | None]:
    """Return (file, first line, last line) of `FILE[:A[-B]]`; None stands for the whole file.

    Example:
        >>> parse_range("a.py:3-9"), parse_range("a.py:3"), parse_range("a.py")
        (('a.py', 3, 9), ('a.py', 3, 3), ('a.py', None, None))
    """
    found = _RANGE.fullmatch(argument)
    if found is None:
        return argument, None, None
    first = int(found[2])
    return found[1], first, int(found[3]) if found[3] else first


def take_lines(text: str, first: int, last: int, *, file: str) -> str:
    """Return the lines `first` to `last` of a text.

    Raises:
        UsageError: the text does not have these lines.
    """
    lines = lines_of(text)
    if first > last:
        raise UsageError(f"{file}: lines {first} to {last} end before they begin")
    if not 1 <= first <= last <= len(lines):
        raise UsageError(
            f"{file} has {format_count(len(lines), 'line')}, and not {first} to {last}"
        )
    return "".join(lines[first - 1 : last])


def split_at(text: str, line: int, column: int | None, *, file: str) -> tuple[str, str]:
    """Return the text before and after a position; without a column it is the end of the line.

    Columns count characters from 1: column 1 is the start of the line. The line after the last one
    is a valid position as well.

    Raises:
        UsageError: the position is not in the text.

    Example:
        >>> split_at("ab\\ncd\\n", 2, 2, file="x"), split_at("ab\\ncd\\n", 1, None, file="x")
        (('ab\\nc', 'd\\n'), ('ab', '\\ncd\\n'))
    """
    lines = lines_of(text)
    if not text or text.endswith("\n"):
        lines.append("")
    if not 1 <= line <= len(lines):
        raise UsageError(f"{file} has {format_count(len(lines), 'line')}, and no line {line}")
    content = lines[line - 1].rstrip("\r\n")
    if column is None:
        column = len(content) + 1
    if not 1 <= column <= len(content) + 1:
        raise UsageError(
            f"line {line} of {file} has {len(content)} characters, and no column {column}"
        )
    at = sum(map(len, lines[: line - 1])) + column - 1
    return text[:at], text[at:]


def truncate_around(
    before: str, after: str, *, max_tokens: int, count: CountTokens
) -> CursorContext:
    """Return the whole lines around the cursor that fit into `max_tokens`.

    Three quarters of the tokens are for the text before the cursor; what one side does not need
    goes to the other. The line of the cursor is always included, even if it is longer.
    """
    upwards = lines_of(before)[::-1]
    downwards = lines_of(after)
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
