"""Encode the rows of a batch as JSON Lines, CSV or lines of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

OutputFormat = Literal["jsonl", "csv", "text"]
ERROR, ERROR_CODE, KEY, RESULT = "error", "exit_code", "key", "result"
COMMON_COLUMNS = (ERROR, ERROR_CODE, KEY, RESULT)
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def json_line(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"


class CsvRows:
    """CSV rows; None is an empty cell, and any other value except a string is encoded as JSON.

    `header` are the names of the columns in the first row, if they differ.

    Example:
        >>> writer = CsvRows(["id", "label"])
        >>> (writer.header + writer.encode({"id": "1", "label": "so, so"})).decode().split()
        ['id,label', '1,"so,', 'so"']
    """

    def __init__(
        self, columns: Sequence[str], *, header: Sequence[str] | None = None, delimiter: str = ","
    ) -> None:
        self._columns, self._delimiter = list(columns), delimiter
        self.header = self._line(columns if header is None else header)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return self._line([_cell(row.get(name)) for name in self._columns])

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

    Newlines, carriage returns and backslashes are escaped as `\\n`, `\\r` and `\\\\`.
    """
    value = row.get(column) or ""
    text = (", ".join(map(str, value)) if isinstance(value, list) else str(value)).strip("\n")
    return text.translate(_ESCAPES).encode("utf-8", "replace") + b"\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


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
