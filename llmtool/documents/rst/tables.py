"""Lay out tables of fixed width again: columns and rows grow with the texts of their cells."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import msgspec

from llmtool.documents.lines import is_wide
from llmtool.documents.rst.structure import find_table_cells

_Row = list[str]  # a character for each column, an empty string after a wide one


class Cell(msgspec.Struct, frozen=True):
    """The lines of a cell, and its place: the lines and columns between its borders.

    `starts` are the positions of its lines in those of the table. `inset` is the space before its
    text, and `margin` that after it.
    """

    top: int
    left: int
    bottom: int
    right: int
    lines: tuple[str, ...]
    starts: tuple[int, ...]
    inset: int
    margin: int


def find_cells(lines: Sequence[str]) -> list[Cell] | None:
    """Return the cells of a grid table or simple table, None if it is not valid.

    Example:
        >>> [cell.lines for cell in find_cells(["+----+---+", "| ab | c |", "+----+---+"])]
        [('ab',), ('c',)]
    """
    rows = [_columns(line) for line in lines]
    places = find_table_cells(["".join(each[:1] or "\0" for each in row) for row in rows])
    if places is None:
        return None
    margin = 1 if lines[0].startswith("+") else 0
    return [_cell(rows, *place, margin) for place in places]


def lay_out(
    lines: Sequence[str], cells: Sequence[Cell], texts: Sequence[Sequence[str]]
) -> list[str]:
    """Return the lines of a table with other texts in its cells.

    Example:
        >>> table = ["== ==", "a  b", "== =="]
        >>> lay_out(table, find_cells(table), [["long"], ["c", "d"]])
        ['==== ==', 'long c', '     d', '==== ==']
    """
    more_columns: Counter[int] = Counter()  # to insert before a column
    more_lines: Counter[int] = Counter()
    changed = [
        (cell, text)
        for cell, text in zip(cells, texts, strict=True)
        if tuple(text) != cell.lines and text
    ]
    for cell, text in sorted(changed, key=lambda each: each[0].right - each[0].left):
        width = cell.inset + max(len(_columns(line)) for line in text) + cell.margin
        _extend(more_columns, cell.left, cell.right, width)
    for cell, text in sorted(changed, key=lambda each: each[0].bottom - each[0].top):
        _extend(more_lines, cell.top, cell.bottom, len(text))
    n_columns = max(len(_columns(line)) for line in lines)
    rows: list[_Row] = []
    for y, line in enumerate(lines):
        rows += [list(rows[-1]) for _ in range(more_lines[y])]
        row = _columns(line)
        row += [" "] * (n_columns - len(row))
        rows.append(_insert(row, more_columns))
    for cell, text in zip(cells, texts, strict=True):
        left, right = (_shift(more_columns, each) for each in (cell.left, cell.right))
        top, bottom = (_shift(more_lines, each) for each in (cell.top, cell.bottom))
        for y in range(top, bottom):
            shown = _columns(" " * cell.inset + text[y - top]) if y - top < len(text) else []
            rows[y][left:right] = shown + [" "] * (right - left - len(shown))
    return ["".join(row).rstrip() for row in rows]


def _cell(rows: Sequence[_Row], top: int, left: int, bottom: int, right: int, margin: int) -> Cell:
    texts = ["".join(row[left:right]).rstrip() for row in rows[top:bottom]]
    while texts and not texts[-1]:
        texts.pop()
    inset = min((len(text) - len(text.lstrip()) for text in texts if text), default=0)
    lines = tuple(text[inset:] for text in texts)
    starts = tuple(len("".join(row[:left])) + inset for row in rows[top:bottom])
    return Cell(top, left, bottom, right, lines, starts, inset, margin)


def _columns(line: str) -> _Row:
    row: _Row = []
    for character in line:
        if row and unicodedata.combining(character):
            at = -1 if row[-1] else -2
            row[at] += character
        else:
            row += [character, ""] if is_wide(character) else [character]
    return row


def _extend(more: Counter[int], start: int, end: int, size: int) -> None:
    """Insert before `end` what is missing between `start` and `end`."""
    available = end - start + sum(n for at, n in more.items() if start < at <= end)
    more[end] += max(0, size - available)


def _shift(more: Counter[int], at: int) -> int:
    return at + sum(n for each, n in more.items() if each <= at)


def _insert(row: _Row, more: Counter[int]) -> _Row:
    """Return a row with inserted columns, which continue a border."""
    found: _Row = []
    for x in range(len(row) + 1):
        if more[x]:
            found += [row[x - 1] if row[x - 1] in ("-", "=") else " "] * more[x]
        found += row[x : x + 1]
    return found
