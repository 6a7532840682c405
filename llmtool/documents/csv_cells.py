"""The cells of a `csv-table` of reStructuredText and MyST."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

# Options with another syntax of the cells.
_UNSUPPORTED = ("quote", "escape", "keepspace")
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"')
_DELIMITERS = {"tab": "\t", "space": " "}


class CsvCell(msgspec.Struct, frozen=True):
    """A cell from `start` to `end` of its table, with its quotes, and its text."""

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


def find_csv_cells(text: str, delimiter: str) -> list[CsvCell] | None:
    """Return the cells of a table, None if a quoted one does not end, or more text follows it.

    Example:
        >>> [cell.text for cell in find_csv_cells('"a ""b"", c", d,\\n"e\\nf"', ",")]
        ['a "b", c', 'd', '', 'e\\nf']
    """
    cells: list[CsvCell] = []
    at, end = len(text) - len(text.lstrip()), len(text.rstrip())
    has_more = at < end
    while has_more:
        while text[at : at + 1] == " ":
            at += 1
        start = at
        is_quoted = text[at : at + 1] == '"'
        if is_quoted:
            found = _QUOTED.match(text, start)
            if found is None or text[found.end() : found.end() + 1] not in ("", delimiter, *"\r\n"):
                return None
            at = found.end()
            cells.append(CsvCell(start, at, found[1].replace('""', '"'), True))
        else:
            while at < end and text[at] not in (delimiter, "\n"):
                at += 1
            stop = start + len(text[start:at].rstrip())
            cells.append(CsvCell(start, stop, text[start:stop], False))
        has_more = at < end
        if text[at : at + 1] == delimiter:
            at += 1
        else:
            while text[at : at + 1].isspace():  # up to the next row
                at += 1
    return cells


def write_csv_cell(text: str, delimiter: str, *, is_quoted: bool) -> str:
    """Return a text as a cell, in quotes if they are needed.

    Example:
        >>> print(write_csv_cell('one, "two" three', ",", is_quoted=False))
        "one, ""two"" three"
    """
    if is_quoted or delimiter in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text
