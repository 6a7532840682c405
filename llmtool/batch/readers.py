"""Read records lazily from lines, JSON Lines, CSV or files; an invalid record becomes an error."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from llmtool.batch.lines import Line, LineSource, read_file
from llmtool.encoding import MAX_BYTES, Errors, decode, too_long
from llmtool.errors import InputError, LlmtoolError, UsageError, format_json_error
from llmtool.sizes import format_count

Format = Literal["line", "jsonl", "csv", "file"]

_MAX_SNIPPET_BYTES = 1000  # of an invalid line, to include in its row
_LINES_PER_YIELD = 256

csv.field_size_limit(MAX_BYTES)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record: its fields in order, or an error.

    `text` is the content of a record that is a line or a file. `line` is the number of its first
    line in `source`, from 1, or None for a file. `digest` is a hash of the bytes of the record.
    """

    index: int
    source: str
    line: int | None
    digest: bytes
    fields: dict[str, Any] = {}
    text: str | None = None
    error: LlmtoolError | None = None

    @property
    def place(self) -> str:
        """The position of the record for messages: `rows.jsonl, line 3`."""
        return self.source if self.line is None else format_place(self.source, self.line)


def format_place(source: str, line: int) -> str:
    return f"{source}, line {line}"


class Reader:
    """The records of files, or of standard input.

    Iteration yields `None` while the next record is not available yet. `columns` are those of a
    CSV, set before the first record. `n_skipped` is the number of blank lines.

    Args:
        paths: the files to read in order; empty for standard input. With the format "file", each
            file is one record, and standard input is a list of file names.

    Raises:
        InputError: a file cannot be opened or read, or a CSV has no header.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     file.write('{"id": 1, "text": "hello"}\\n')
        ...     file.flush()
        ...     [record.fields for record in Reader("jsonl", [file.name]) if record]
        27
        [{'id': 1, 'text': 'hello'}]
    """

    def __init__(
        self,
        format: Format,
        paths: Sequence[str] = (),
        *,
        errors: Errors = "strict",
    ) -> None:
        self.format, self._paths, self.errors = format, paths, errors
        self.n_skipped = 0
        self._index = 0
        self._sources: list[LineSource] = []
        if format != "file":
            self._sources = [LineSource(path) for path in paths or ["-"]]
        elif not paths:
            self._sources = [LineSource("-", separator=None)]
        self._files = [_CsvFile(source, errors) for source in self._sources if format == "csv"]
        self.columns: list[str] = []
        self.is_done = False

    @property
    def n_read(self) -> int:
        return self._index

    @property
    def n_expected(self) -> float | None:
        """The estimated number of records, or None if unknown."""
        if self.is_done:
            return self._index
        if self.format == "file" and self._paths:
            return len(self._paths)
        sizes = [source.size_bytes for source in self._sources]
        consumed = sum(source.n_consumed for source in self._sources)
        if None in sizes or not consumed:
            return None
        return self._index * sum(filter(None, sizes)) / consumed

    def has_source(self, path: str) -> bool:
        """Whether a file is one of the files to read, also through another name."""
        try:
            info = os.stat(path)
        except OSError:
            return False
        files = [source.info for source in self._sources]
        if self.format == "file":
            for name in self._paths:
                with contextlib.suppress(OSError):
                    files.append(os.stat(name))
        return any(stat.S_ISREG(f.st_mode) and os.path.samestat(f, info) for f in files)

    def read_header(self) -> Iterator[None]:
        """Read the columns of a CSV once; yield while they are not available yet.

        Raises:
            InputError: no header, or a duplicate or empty column name.
            UsageError: the files have different columns.
        """
        if self.columns:
            return
        for file in self._files:
            yield from file.read_header()
            if self.columns and file.columns != self.columns:
                raise UsageError(
                    f"{file.source.name}: columns differ from those of the previous file"
                )
            self.columns = file.columns

    def __iter__(self) -> Iterator[Record | None]:
        if self.format == "csv":
            yield from self.read_header()
            for file in self._files:
                yield from map(self._numbered, file.records())
        elif self.format == "file":
            yield from map(self._numbered, self._read_files())
        else:
            make = self._from_line if self.format == "line" else self._from_json
            for source in self._sources:
                yield from map(self._numbered, self._from_lines(source, make))
        self.is_done = True

    def _numbered(self, record: Record | None) -> Record | None:
        if record is None:
            return None
        self._index += 1
        return msgspec.structs.replace(record, index=self._index - 1)

    def _from_lines(
        self, source: LineSource, make: Callable[[LineSource, Line], Record]
    ) -> Iterator[Record | None]:
        for line in source:
            if line is None:
                yield None
                continue
            if not line.data.strip():
                self.n_skipped += 1
                continue
            try:
                yield make(source, line)
            except LlmtoolError as exc:
                snippet = line.data[:_MAX_SNIPPET_BYTES].decode("utf-8", "replace")
                yield _record(
                    source.name, line.number, line.data, fields={"input": snippet}, error=exc
                )

    def _from_line(self, source: LineSource, line: Line) -> Record:
        text = _decode_line(source, line, self.errors).removesuffix("\r")
        return _record(source.name, line.number, line.data, text=text, fields={"text": text})

    def _from_json(self, source: LineSource, line: Line) -> Record:
        text = _decode_line(source, line, self.errors)
        place = format_place(source.name, line.number)
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as exc:
            raise InputError(f"{place}: not valid JSON: {format_json_error(exc)}") from exc
        except RecursionError:
            raise InputError(f"{place}: nested too deeply") from None
        if isinstance(value, str):
            return _record(source.name, line.number, line.data, text=value, fields={"text": value})
        if not isinstance(value, dict):
            raise InputError(f"{place}: expected a JSON object or a string")
        return _record(source.name, line.number, line.data, fields=value)

    def _read_files(self) -> Iterator[Record | None]:
        if not self._sources:
            yield from map(self._from_file, self._paths)
        for source in self._sources:
            for line in source:
                if line is None:
                    yield None
                elif line.data.strip():
                    name = line.data.removesuffix(b"\r").decode("utf-8", "surrogateescape")
                    yield self._from_file(name)

    def _from_file(self, path: str) -> Record:
        shown = path.encode("utf-8", "replace").decode()
        fields = {"file": shown}
        try:
            data = read_file(path)
            text = decode(data, source=shown, errors=self.errors)
        except LlmtoolError as exc:
            return _record(shown, None, shown.encode(), fields=fields, error=exc)
        return _record(shown, None, shown.encode() + b"\0" + data, text=text, fields=fields)


class _CsvFile:
    """The records of one CSV file, whose quoted cells may contain newlines.

    The delimiter is a tab if the header contains tabs and no commas.
    """

    def __init__(self, source: LineSource, errors: Errors) -> None:
        self.source, self._errors = source, errors
        self._lines = iter(source)
        self._delimiter = ","
        self.columns: list[str] = []

    def read_header(self) -> Iterator[None]:
        for row in self._rows():
            if row is None:
                yield None
                continue
            line, _, cells = row
            if isinstance(cells, LlmtoolError):
                raise cells
            self.columns = [cell.strip() for cell in cells]
            if len(set(self.columns)) < len(cells) or not all(self.columns):
                place = format_place(self.source.name, line)
                raise InputError(f"{place}: CSV column names must be unique and not empty")
            return
        raise InputError(
            f"{self.source.name}: the CSV has no header; its first line must name the columns"
        )

    def records(self) -> Iterator[Record | None]:
        for row in self._rows():
            if row is None:
                yield None
                continue
            line, data, cells = row
            name = self.source.name
            if isinstance(cells, LlmtoolError):
                yield _record(name, line, data, fields=self._parse_invalid(data), error=cells)
            elif len(cells) != len(self.columns):
                error = InputError(
                    f"{format_place(name, line)}: {format_count(len(cells), 'cell')}, but the "
                    f"header has {len(self.columns)}"
                )
                yield _record(name, line, data, fields=self._named(cells), error=error)
            else:
                yield _record(name, line, data, fields=self._named(cells))

    def _parse_invalid(self, data: bytes) -> dict[str, str]:
        """Return the readable cells of an invalid row."""
        texts = data[:_MAX_SNIPPET_BYTES].decode("utf-8", "replace").splitlines(keepends=True)
        return self._named(next(csv.reader(texts, delimiter=self._delimiter), []))

    def _named(self, cells: list[str]) -> dict[str, str]:
        return dict(zip(self.columns, cells, strict=False))

    def _rows(self) -> Iterator[tuple[int, bytes, list[str] | LlmtoolError] | None]:
        """Yield (line number, bytes, cells); a row extends over lines while a quote is open."""
        pending: list[Line] = []
        is_even = True  # whether the number of quotes is even, so that none is open
        for line in self._lines:
            if line is None:
                yield None
                continue
            if not pending and not line.data.strip():
                continue
            pending.append(line)
            is_even = is_even == (line.data.count(b'"') % 2 == 0)
            if len(pending) > 1 and not is_even and not line.is_too_long:
                if len(pending) % _LINES_PER_YIELD == 0:
                    yield None  # lets the caller cancel in the middle of a long row
                continue
            cells = self._parse(pending)
            if cells is None and sum(len(each.data) for each in pending) <= MAX_BYTES:
                continue
            yield self._row(pending, cells)
            pending, is_even = [], True
        if pending:
            yield self._row(pending, None)

    def _row(
        self, lines: list[Line], cells: list[str] | LlmtoolError | None
    ) -> tuple[int, bytes, list[str] | LlmtoolError]:
        number = lines[0].number
        data = b"\n".join(line.data for line in lines)
        place = format_place(self.source.name, number)
        return number, data, cells or InputError(f"{place}: unclosed quote")

    def _parse(self, lines: list[Line]) -> list[str] | LlmtoolError | None:
        """Return the cells of a row, or None while a quote is open."""
        try:
            texts = [_decode_line(self.source, line, self._errors) for line in lines]
        except LlmtoolError as exc:
            # Bytes that are not UTF-8 do not change where the row ends.
            texts = [line.data.decode("utf-8", "surrogateescape") for line in lines]
            return None if self._split(texts, lines[0]) is None else exc
        return self._split(texts, lines[0])

    def _split(self, texts: list[str], first: Line) -> list[str] | LlmtoolError | None:
        if not self.columns and "\t" in texts[0] and "," not in texts[0]:
            self._delimiter = "\t"
        rows = csv.reader([text + "\n" for text in texts], strict=True, delimiter=self._delimiter)
        try:
            return next(rows)
        except csv.Error as exc:
            if "unexpected end" in str(exc):
                return None
            place = format_place(self.source.name, first.number)
            return InputError(f"{place}: not valid CSV: {exc}")


def _decode_line(source: LineSource, line: Line, errors: Errors) -> str:
    place = format_place(source.name, line.number)
    if line.is_too_long:
        raise too_long(place)
    return decode(line.data, source=place, errors=errors, offset=line.offset)


def _record(
    source: str,
    line: int | None,
    data: bytes,
    *,
    text: str | None = None,
    fields: dict[str, Any] | None = None,
    error: LlmtoolError | None = None,
) -> Record:
    digest = hashlib.sha256(data).digest()
    return Record(
        index=-1,
        source=source,
        line=line,
        digest=digest,
        fields=fields or {},
        text=text,
        error=error,
    )
