"""Results of records as JSON Lines, CSV rows or plain lines: bytes, one record after another."""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

OutputFormat = Literal["jsonl", "csv", "text"]
ERROR, ERROR_CODE, KEY, RESULT = "error", "exit_code", "key", "result"
OF_EVERY_ROW = (ERROR, ERROR_CODE, KEY, RESULT)
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
        # A lone CR ends a line for many readers, and not all versions of the library quote it.
        if any("\r" in cell for cell in cells):
            csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
        else:
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
        value = row.get(self._column) or ""
        text = (", ".join(map(str, value)) if isinstance(value, list) else str(value)).strip("\n")
        return text.translate(_ESCAPES).encode("utf-8", "replace") + b"\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def rename(names: Iterable[str], reserved: Container[str]) -> dict[str, str]:
    """Return what fields are called beside a result: `input_NAME` where a name is taken.

    Example:
        >>> rename(["id", "label", "input_label"], {"label"})
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
