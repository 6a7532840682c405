"""The cells of a `csv-table` of reStructuredText and MyST."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

# Options with another syntax of the cells.
_UNSUPPORTED = ("quote", "escape", "keepspace")
_DELIMITERS = {"tab": "\t", "space": " "}


class CsvCell(msgspec.Struct, frozen=True):
    """A cell from `start` to `end` of its line, with its quotes, and its text."""

    start: int
    end: int
    text: str
    is_quoted: bool


def find_delimiter(options: Mapping[str, str]) -> str | None:
    """Return the delimiter that the options of a table set, None if they are not supported.

    Example:
        >>> find_delimiter({"delim": "tab"}), find_delimiter({}), find_delimiter({"quote": "'"})
        ('\\t', ',', None)
    """
    name = options.get("delim", "").strip() or ","
    delimiter = _DELIMITERS.get(name, name)
    return delimiter if len(delimiter) == 1 and not set(_UNSUPPORTED) & options.keys() else None


def find_csv_cells(line: str, delimiter: str) -> list[CsvCell] | None:
    """Return the cells of a line, None if a quoted one does not end in it.

    Example:
        >>> [cell.text for cell in find_csv_cells('"a ""b"", c", d,', ",")]
        ['a "b", c', 'd', '']
    """
    cells: list[CsvCell] = []
    at, end = 0, len(line.rstrip())
    while True:
        while line[at : at + 1] == " ":
            at += 1
        start = at
        if line[at : at + 1] == '"':
            at += 1
            while line[at : at + 1] != '"' or line[at : at + 2] == '""':
                at += 2 if line[at : at + 2] == '""' else 1
                if at >= end:
                    return None
            at += 1
            cells.append(CsvCell(start, at, line[start + 1 : at - 1].replace('""', '"'), True))
            if at < end and line[at] != delimiter:
                return None
        else:
            at = line.find(delimiter, start, end)
            at = end if at < 0 else at
            stop = max(start, start + len(line[start:at].rstrip()))
            cells.append(CsvCell(start, stop, line[start:stop], False))
        if at >= end:
            return cells
        at += 1


def write_csv_cell(text: str, delimiter: str, *, is_quoted: bool) -> str:
    """Return a text as a cell, in quotes if they are needed.

    Example:
        >>> print(write_csv_cell('one, "two" three', ",", is_quoted=False))
        "one, ""two"" three"
    """
    if is_quoted or delimiter in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text
