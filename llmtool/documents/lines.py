"""Join wrapped lines for a model, and wrap its reply again."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from itertools import pairwise

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


def split_lines(text: str) -> list[tuple[int, str]]:
    """Return the start of each line, and its text without the line ending."""
    return [(found.start(), found[0].rstrip("\r\n")) for found in _LINE.finditer(text)]


def display_width(text: str) -> int:
    """Return the columns that a text takes: two for a wide character, none for a combining one.

    Example:
        >>> display_width("abc"), display_width("図書館"), display_width("e\\u0301")
        (3, 6, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def join_lines(lines: list[str]) -> str:
    """Join lines with a space, but without one between two wide characters.

    Example:
        >>> join_lines(["one", "two"]), join_lines(["図書", "館は"])
        ('one two', '図書館は')
    """
    found: list[str] = []
    for line in filter(None, lines):
        if found and not (is_wide(found[-1][-1]) and is_wide(line[0])):
            found.append(" ")
        found.append(line)
    return "".join(found)


def wrap(text: str, columns: int, *, only_at_spaces: bool = False) -> list[str]:
    """Wrap a text into lines of at most `columns`; a longer word gets its own line.

    A line can end between wide characters, but not before closing punctuation, unless lines are to
    end only at spaces. Only spaces at line breaks are lost.

    Example:
        >>> wrap("one two three", 7), wrap("图书馆周一开门。", 8)
        (['one two', 'three'], ['图书馆周', '一开门。'])
    """
    return _fill(_words(text) if only_at_spaces else _breakable_pieces(text), columns)


def _words(text: str) -> list[str]:
    return re.findall(r" *[^ ]+ *|\A *\Z", text)


def _fill(pieces: list[str], columns: int) -> list[str]:
    """Join pieces into lines of at most `columns`."""
    lines: list[str] = []
    line: list[str] = []
    width = 0
    for piece in pieces:
        piece_width = display_width(piece)
        trailing = len(piece) - len(piece.rstrip(" "))
        if line and width + piece_width - trailing > columns:
            lines.append("".join(line).rstrip(" "))
            piece = piece.lstrip(" ")
            line, width = [], 0
            piece_width = display_width(piece)
        line.append(piece)
        width += piece_width
    last = "".join(line).rstrip(" ")
    return [*lines, last] if last else lines


def balance(text: str, n_lines: int) -> list[str]:
    """Wrap a text into at most `n_lines` lines of similar width.

    Example:
        >>> balance("one two three four", 2)
        ['one two', 'three four']
    """
    if n_lines <= 1:
        return [text]
    # A wider line takes as many lines or fewer, so the narrowest fit is found by bisection.
    width = display_width(text)
    widths = range(-(-width // n_lines), width + 1)
    pieces = _breakable_pieces(text)
    index = bisect_left(widths, True, key=lambda each: len(_fill(pieces, each)) <= n_lines)
    return _fill(pieces, widths[index]) if index < len(widths) else [text]


_CLOSING = "、。，．：；！？）」』】〕〉》”’…ー"


def _breakable_pieces(text: str) -> list[str]:
    """Split a text where a line can end: after a space, and between wide characters."""
    breaks = [
        at
        for at, (previous, c) in enumerate(pairwise(text), 1)
        if (previous == " " and c != " ")
        or (is_wide(previous) and c not in _CLOSING + " ")
        or (is_wide(c) and c not in _CLOSING)
    ]
    return [text[start:end] for start, end in pairwise([0, *breaks, len(text)])] if text else []
