"""Results of records as JSON Lines, CSV rows or plain lines: bytes, one record after another."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

OutputFormat = Literal["jsonl", "csv", "text"]
ERROR, ERROR_CODE, KEY = "error", "exit_code", "key"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


class RowWriter(Protocol):
    """Makes bytes of rows; a row maps the columns of a record and of its result to values."""

    header: bytes

    def encode(self, row: Mapping[str, Any]) -> bytes: ...


class JsonLines:
    """A JSON object a line."""

    header = b""

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode(row) + b"\n"


class CsvRows:
    """Rows under a header; what is no scalar is JSON in its cell, nothing an empty cell.

    Example:
        >>> writer = CsvRows(["id", "label"])
        >>> (writer.header + writer.encode({"id": "1", "label": "so, so"})).decode().split()
        ['id,label', '1,"so,', 'so"']
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self.header = self._line(self._columns)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return self._line([_cell(row.get(name)) for name in self._columns])

    def _line(self, cells: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue().encode("utf-8", "replace")


class TextLines:
    """The text of each result on a line of its own; a failed record is an empty line.

    Line ends inside a text are written as `\\n` and `\\r`, a backslash as two.
    """

    header = b""

    def __init__(self, column: str) -> None:
        self._column = column

    def encode(self, row: Mapping[str, Any]) -> bytes:
        text = str(row.get(self._column) or "").strip("\n")
        return text.translate(_ESCAPES).encode("utf-8", "replace") + b"\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def merge(fields: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row: what the record said, then the result.

    A field whose name the result has as well is kept as `input_NAME`.

    Example:
        >>> merge({"id": 7, "label": "?"}, {"label": "spam"})
        {'id': 7, 'input_label': '?', 'label': 'spam'}
    """
    return {rename(name, result): value for name, value in fields.items()} | dict(result)


def rename(name: str, taken: Mapping[str, Any] | Sequence[str]) -> str:
    return f"input_{name}" if name in taken else name
