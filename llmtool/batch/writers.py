"""Encode the rows of a batch as JSON Lines, CSV or lines of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

OutputFormat = Literal["jsonl", "csv", "text"]
ERROR, ERROR_CODE, KEY, RESULT, VALUE = "error", "exit_code", "key", "result", "value"
COMMON_COLUMNS = (ERROR, ERROR_CODE, KEY, RESULT)
# What starts a formula in a spreadsheet (OWASP, "CSV Injection"), also as full-width characters.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?%?")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def json_line(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"


class CsvRows:
    """CSV rows; None is an empty cell, and any other value except a string is encoded as JSON.

    `header` are the names of the columns in the first row, if they differ. With `safe`, a text that
    a spreadsheet would evaluate as a formula starts with an apostrophe.

    Example:
        >>> writer = CsvRows(["id", "label"], safe=True)
        >>> (writer.header + writer.encode({"id": "-1", "label": "=1+2"})).decode().split()
        ['id,label', "-1,'=1+2"]
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        header: Sequence[str] | None = None,
        delimiter: str = ",",
        safe: bool = False,
    ) -> None:
        self._columns, self._delimiter, self._safe = list(columns), delimiter, safe
        self.header = self._line([self._cell(name) for name in header or columns])

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return self._line([self._cell(row.get(name)) for name in self._columns])

    def _cell(self, value: Any) -> str:
        if not isinstance(value, str):
            return "" if value is None else msgspec.json.encode(value).decode()
        is_formula = self._safe and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
        return f"'{value}" if is_formula else value

    def _line(self, cells: Sequence[str]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="\n")
        # Many readers end a line at a lone CR, and not all versions of `csv` quote it.
        if any("\r" in cell for cell in cells):
            writer = csv.writer(
                text, delimiter=self._delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
            )
        writer.writerow(cells)
        return text.getvalue().encode("utf-8", "replace")


def text_line(row: Mapping[str, Any], column: str) -> bytes:
    """Return the text of a result on one line; an empty line for a failed record.

    Newlines, carriage returns and backslashes are escaped as `\\n`, `\\r` and `\\\\`, except in
    the JSON of a reply with a schema, which is one line.
    """
    value = "" if ERROR in row else row.get(column) or ""
    if VALUE in row:
        return str(value).encode() + b"\n"
    text = (", ".join(map(str, value)) if isinstance(value, list) else str(value)).strip("\n")
    return text.translate(_ESCAPES).encode("utf-8", "replace") + b"\n"


def rename_fields(names: Iterable[str], reserved: Container[str]) -> dict[str, str]:
    """Map field names to output columns; `input_` is prepended to a reserved name.

    Example:
        >>> rename_fields(["id", "label", "input_label"], {"label"})
        {'id': 'id', 'label': 'input_label', 'input_label': 'input_input_label'}
    """
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        new = name
        while new in reserved or new in used:
            new = f"input_{new}"
        found[name] = new
        used.add(new)
    return found
