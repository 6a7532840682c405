"""Join wrapped lines for a model, and wrap its reply again."""

from __future__ import annotations

import re
import unicodedata

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
    text = ""
    for line in lines:
        if text and line and not (is_wide(text[-1]) and is_wide(line[0])):
            text += " "
        text += line
    return text


def wrap(text: str, columns: int, *, only_at_spaces: bool = False) -> list[str]:
    """Wrap a text into lines of at most `columns`; a longer word gets its own line.

    A line can end between wide characters, but not before closing punctuation, unless lines are to
    end only at spaces. Only spaces at line breaks are lost.

    Example:
        >>> wrap("one two three", 7), wrap("图书馆周一开门。", 8)
        (['one two', 'three'], ['图书馆周', '一开门。'])
    """
    pieces = re.findall(r" *[^ ]+ *|\A *\Z", text) if only_at_spaces else _breakable_pieces(text)
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
    min_columns = -(-display_width(text) // n_lines)
    for columns in range(min_columns, display_width(text) + 1):
        lines = wrap(text, columns)
        if len(lines) <= n_lines:
            return lines
    return [text]


_CLOSING = "、。，．：；！？）」』】〕〉》”’…ー"


def _breakable_pieces(text: str) -> list[str]:
    """Split a text where a line can end: after a space, and between wide characters."""
    pieces: list[str] = []
    for c in text:
        previous = pieces[-1][-1] if pieces else ""
        is_break = (
            not previous
            or (previous == " " and c != " ")
            or (is_wide(previous) and c not in _CLOSING + " ")
            or (is_wide(c) and c not in _CLOSING)
        )
        if is_break:
            pieces.append(c)
        else:
            pieces[-1] += c
    return pieces
