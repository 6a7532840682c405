"""A place in a file, and as much of the text around it as a model has room for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.code.diffs import lines_of

CountTokens = Callable[[str], int]
_PLACE = re.compile(r"(.+?):(\d+)(?::(\d+))?")
_RANGE = re.compile(r"(.+?):(\d+)(?:-(\d+))?")
_BEFORE = 0.75  # of the room goes to what stands before the gap, which says more of it


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """The text before and after a gap; `n_left_out` lines of the file did not fit."""

    before: str
    after: str
    n_left_out: int = 0


def parse_place(argument: str) -> tuple[str, int, int | None]:
    """Return (file, line, column) of `FILE:LINE[:COL]`; both count from 1.

    Raises:
        UsageError: it is not of that form.

    Example:
        >>> parse_place("src/a.py:12:5"), parse_place("a.py:3")
        (('src/a.py', 12, 5), ('a.py', 3, None))
    """
    found = _PLACE.fullmatch(argument)
    if found is None:
        raise UsageError(f"{argument}: write the place as FILE:LINE or FILE:LINE:COL")
    return found[1], int(found[2]), int(found[3]) if found[3] else None


def parse_range(argument: str) -> tuple[str, int | None, int | None]:
    """Return (file, first line, last line) of `FILE[:A[-B]]`; None where all of it is meant.

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
    """Return some lines of a text.

    Raises:
        UsageError: there are no such lines.
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
    """Return what stands before a place and after it; without a column it is the line's end.

    A column counts the characters before it from 1: at column 1 the whole line stands after the
    gap. The line behind the last one is a place, too.

    Raises:
        UsageError: there is no such place.

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


def fit(before: str, after: str, *, max_tokens: int, count: CountTokens) -> Around:
    """Return the lines nearest to a gap that have room, whole ones.

    Three quarters of the room go to what stands before, and what one side does not need to the
    other. The lines that hold the gap always stay, whatever they take.
    """
    upwards = lines_of(before)[::-1]
    downwards = lines_of(after)
    nearest = sum(count(line) for line in (*upwards[:1], *downwards[:1]))
    room = max(max_tokens - nearest, 0)
    wanted_after = _take(downwards[1:], room, count)
    room_before = max(int(room * _BEFORE), room - sum(wanted_after))
    taken_before = _take(upwards[1:], room_before, count)
    taken_after = _take(downwards[1:], room - sum(taken_before), count)
    n_up, n_down = 1 + len(taken_before), 1 + len(taken_after)
    return Around(
        before="".join(upwards[:n_up][::-1]),
        after="".join(downwards[:n_down]),
        n_left_out=len(upwards[n_up:]) + len(downwards[n_down:]),
    )


def _take(lines: Iterable[str], max_tokens: int, count: CountTokens) -> list[int]:
    """Return the tokens of the first lines that fit together."""
    taken: list[int] = []
    left = max_tokens
    for line in lines:
        left -= (n := count(line))
        if left < 0:
            break
        taken.append(n)
    return taken
