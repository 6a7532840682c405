"""Lines of text as a page breaks them: joined for a model, and broken again at a width."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Return how many columns a text takes; wide characters take two, combining ones none.

    Example:
        >>> width("abc"), width("図書館"), width("e\\u0301")
        (3, 6, 1)
    """
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def join(lines: list[str]) -> str:
    """Return lines as one: a space between them, nothing between wide characters.

    Example:
        >>> join(["one", "two"]), join(["図書", "館は"])
        ('one two', '図書館は')
    """
    text = ""
    for line in lines:
        if text and line and not (is_wide(text[-1]) and is_wide(line[0])):
            text += " "
        text += line
    return text


def wrap(text: str, columns: int) -> list[str]:
    """Return a text in lines of at most so many columns; a longer word has a line of its own.

    Wide characters can be parted anywhere but before a closing mark. Joined again, the lines are
    the text, but for runs of spaces at the breaks.

    Example:
        >>> wrap("one two three", 7), wrap("図書館は月曜日。", 8)
        (['one two', 'three'], ['図書館は', '月曜日。'])
    """
    lines, line = [], ""
    for piece in _pieces(text):
        if line and width(line + piece.rstrip(" ")) > columns:
            lines.append(line.rstrip(" "))
            line = piece.lstrip(" ")
        else:
            line += piece
    return [*lines, line.rstrip(" ")] if line.strip(" ") else lines


def balance(text: str, n_lines: int) -> list[str]:
    """Return a text in so many lines of about the same width; fewer where it has fewer words.

    Example:
        >>> balance("one two three four", 2)
        ['one two', 'three four']
    """
    if n_lines <= 1:
        return [text]
    least = -(-width(text) // n_lines)
    for columns in range(least, width(text) + 1):
        lines = wrap(text, columns)
        if len(lines) <= n_lines:
            return lines
    return [text]


_CLOSING = "、。，．：；！？）」』】〕〉》”’…ー"


def _pieces(text: str) -> list[str]:
    """Return the parts that a line can be broken after: words with their spaces, characters."""
    pieces: list[str] = []
    for c in text:
        previous = pieces[-1][-1] if pieces else ""
        opens_new = (
            not previous
            or (previous == " " and c != " ")
            or (is_wide(previous) and c not in _CLOSING + " ")
            or (is_wide(c) and c not in _CLOSING)
        )
        if opens_new:
            pieces.append(c)
        else:
            pieces[-1] += c
    return pieces
