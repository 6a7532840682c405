"""The cells of a `csv-table` of reStructuredText and MyST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

_DELIMITERS = {"tab": "\t", "space": " "}


class CsvSyntax(msgspec.Struct, frozen=True):
    """What separates and quotes the cells of a table; without `escape`, quotes are doubled."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    keeps_space: bool = False  # before a cell


class CsvCell(msgspec.Struct, frozen=True):
    """A cell from `start` to `end` of its table, with its quotes, and its text."""

    start: int
    end: int
    text: str
    is_quoted: bool


def find_csv_syntax(options: Mapping[str, str]) -> CsvSyntax | None:
    """Return the syntax that the options of a table set, None if it is not supported.

    Example:
        >>> find_csv_syntax({"delim": "tab", "quote": "'"})
        CsvSyntax(delimiter='\\t', quote="'", escape='', keeps_space=False)
    """
    delimiter = options.get("delim", "").strip() or ","
    delimiter = _DELIMITERS.get(delimiter, delimiter)
    quote, escape = options.get("quote", '"').strip(), options.get("escape", "").strip()
    is_known = len(delimiter) == len(quote) == 1 and len(escape) == ("escape" in options)
    if not is_known or len({delimiter, quote, escape}) < 3:
        return None
    return CsvSyntax(delimiter, quote, escape, "keepspace" in options)


def find_csv_cells(text: str, syntax: CsvSyntax) -> list[CsvCell] | None:
    """Return the cells of a table, None if one of its rows is not supported.

    Example:
        >>> [cell.text for cell in find_csv_cells('"a ""b"", c", d,\\n"e\\nf"', CsvSyntax())]
        ['a "b", c', 'd', '', 'e\\nf']
    """
    cells: list[CsvCell] = []
    at = 0
    while at < len(text):
        row = find_csv_row(text, at, syntax) if text[at] not in "\r\n" else ([], at)
        if row is None:
            return None
        cells += row[0]
        at = row[1] + 1
    return cells


def find_csv_row(text: str, at: int, syntax: CsvSyntax) -> tuple[list[CsvCell], int] | None:
    """Return the cells of the row at a position and the end of its last line.

    It is None if a quoted cell does not end, if more text follows it, or if a cell begins with a
    space that is part of it.
    """
    quoted, plain = _patterns(syntax)
    cells: list[CsvCell] = []
    while True:
        while text[at : at + 1] == " ":
            if syntax.keeps_space:
                return None
            at += 1
        is_quoted = text[at : at + 1] == syntax.quote
        found = (quoted if is_quoted else plain).match(text, at)
        if found is None:
            return None
        at = found.end()
        body = found[1] if is_quoted else found[0].rstrip()
        end = at if is_quoted else found.start() + len(body)
        if syntax.escape:
            body = re.sub(rf"{re.escape(syntax.escape)}(.)", r"\1", body, flags=re.DOTALL)
        elif is_quoted:
            body = body.replace(syntax.quote * 2, syntax.quote)
        cells.append(CsvCell(found.start(), end, body, is_quoted))
        if text[at : at + 1] != syntax.delimiter:
            break
        at += 1
    while text[at : at + 1] in (" ", "\t", "\r"):
        at += 1
    return (cells, at) if text[at : at + 1] in ("", "\n") else None


@lru_cache(maxsize=16)
def _patterns(syntax: CsvSyntax) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a cell in quotes and of one without."""
    delimiter, quote, escape = map(re.escape, (syntax.delimiter, syntax.quote, syntax.escape))
    if not escape:
        return re.compile(f"{quote}([^{quote}]*(?:{quote}{quote}[^{quote}]*)*){quote}"), re.compile(
            f"[^{delimiter}\n]*"
        )
    quoted = f"{quote}((?:[^{quote}{escape}]|{escape}.)*){quote}"
    return re.compile(quoted, re.DOTALL), re.compile(f"(?:{escape}.|[^{delimiter}\n])*", re.DOTALL)


def write_csv_cell(text: str, syntax: CsvSyntax, *, is_quoted: bool) -> str:
    """Return a text as a cell, in quotes if they are needed.

    Example:
        >>> print(write_csv_cell('one, "two" three', CsvSyntax(), is_quoted=False))
        "one, ""two"" three"
    """
    quote, escape = syntax.quote, syntax.escape
    text = text.replace(escape, escape * 2) if escape else text
    if is_quoted or syntax.delimiter in text or quote in text:
        return quote + text.replace(quote, (escape or quote) + quote) + quote
    return text
