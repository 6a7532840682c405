"""Read records lazily from lines, JSON Lines, CSV or files; an invalid record becomes an error."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

import msgspec

from llmtool.batch.json_records import (
    decode_json,
    is_array,
    is_message,
    join_lines,
    split_array,
    with_line,
)
from llmtool.batch.lines import Line, LineSource, Separator, format_place, read_file
from llmtool.batch.shards import Shard
from llmtool.batch.tables import Table, TableRow, find_other_delimiter
from llmtool.encoding import Errors, check_encoding, decode, escape_name, too_long
from llmtool.errors import InputError, LlmtoolError, UsageError
from llmtool.sizes import format_count

Format = Literal["line", "jsonl", "csv", "file"]

_POLL_SECONDS = 0.02
_MAX_START_BYTES = 1 << 20  # of JSON that is read before its first record
_MAX_SNIPPET_BYTES = 1000  # of an invalid line, to include in its row


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record: its fields in order, or an error.

    `text` is the content of a record that is a line or a file. `line` is the number of its first
    line in `source`, from 1, or None for a file. `digest` is a hash of the bytes of the record.
    `written` are the fields of a JSON object to encode again, with numbers as they are written.
    """

    index: int
    source: str
    line: int | None
    digest: bytes
    fields: dict[str, Any] = {}
    written: dict[str, Any] = {}
    text: str | None = None
    error: LlmtoolError | None = None

    @property
    def place(self) -> str:
        """The position of the record for messages: `rows.jsonl, line 3`."""
        return self.source if self.line is None else format_place(self.source, self.line)


class Reader:
    """The records of files, or of standard input.

    Iteration yields `None` while the next record is not available yet. `n_skipped` is the number of
    blank lines. For a table, `read_header` and the first iteration set `header`, the cells of the
    first row, and `columns`, which are the fields of a record: the header without white space
    around the names, and a number after a repeated name, as in `note_2`.

    Args:
        paths: the files to read in order; empty for standard input. With the format "file", each
            file is one record, and standard input is a list of file names.
        errors: how to decode invalid bytes, "strict" or "replace".
        encoding: the encoding of the files; None is UTF-8, or UTF-16 if it is detected.
        delimiter: the delimiter of a table, a character or "tab"; None detects comma, semicolon,
            tab or pipe.
        shard: yield only the records of this shard; `index` still counts all.
        read: returns the content and the text of a file, for the format "file"; by default, the
            content is decoded.

    Raises:
        InputError: a file cannot be opened or read, or a table has no header.

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
        encoding: str | None = None,
        delimiter: str | None = None,
        shard: Shard | None = None,
        read: Callable[[str], tuple[bytes, str]] | None = None,
    ) -> None:
        self.format, self._paths, self.errors = format, paths, errors
        self.shard = shard
        self.encoding = None if encoding is None else check_encoding(encoding)
        self.n_skipped = 0
        self._read = read or self._read_text
        self.n_records = 0  # read so far, of all shards
        self.n_read = 0  # yielded so far
        self._sources: list[LineSource] = []
        if format != "file":
            separator: Separator = "any" if format == "csv" else "LF"
            self._sources = [
                LineSource(path, separator=separator, encoding=encoding, errors=errors)
                for path in paths or ["-"]
            ]
        elif not paths:
            self._sources = [LineSource("-", separator="NUL")]
        self._tables = [
            Table(source, delimiter=delimiter) for source in self._sources if format == "csv"
        ]
        self.header = {"line": ["input"], "file": ["file"]}.get(format, [])
        self.columns = [*self.header]
        self.is_done = False

    @property
    def n_expected(self) -> float | None:
        """The estimated number of records to yield, or None if unknown."""
        if self.is_done:
            return self.n_read
        if self.format == "file" and self._paths:
            return sum(map(self._has_file, self._paths))
        sizes = [source.size_bytes for source in self._sources]
        consumed = sum(source.n_consumed for source in self._sources)
        if None in sizes or not consumed:
            return None
        return self.n_read * sum(filter(None, sizes)) / consumed

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

    @property
    def has_named_files(self) -> bool:
        """Whether each record is a file with a known name, which can be read again."""
        return self.format == "file" and not self._sources

    @property
    def delimiter(self) -> str:
        """The delimiter of the first table, after `read_header`."""
        return next((table.delimiter for table in self._tables if table.delimiter), ",")

    def wait_for_header(self) -> None:
        """Read the columns of a table, waiting while a pipe has no data."""
        for _ in self.read_header():
            time.sleep(_POLL_SECONDS)

    def wait_for_records(self) -> Iterator[Record]:
        """Yield the records, waiting while a pipe has no data."""
        for record in self:
            if record is None:
                time.sleep(_POLL_SECONDS)
            else:
                yield record

    def read_header(self) -> Iterator[None]:
        """Read the columns of a table once; yield while they are not available yet.

        Raises:
            InputError: a table has no header, or it is malformed.
            UsageError: the tables have different columns.
        """
        if self.columns:
            return
        for table in self._tables:
            row = None
            for row in table:
                if row is not None:
                    break
                yield None
            name = table.source.name
            if row is None:
                raise InputError(f"{name}: no header; the first line must name the columns")
            if row.error is not None:
                raise row.error
            if self.header and row.cells != self.header:
                raise UsageError(f"{name}: columns differ from those of the previous file")
            self.header = row.cells
        self.columns = _unique([cell.strip() for cell in self.header])

    def find_column(self, field: str) -> str:
        """Return the column of a table with a name in the header, or at a position from 1.

        Raises:
            UsageError: the column does not exist, or several have the name.
        """
        names = [cell.strip() for cell in self.header]
        positions = [i for i, name in enumerate(names) if name == field.strip()]
        if len(positions) > 1:
            choices = " or ".join(str(i + 1) for i in positions)
            raise UsageError(
                f"{len(positions)} columns are named {field!r}; pass a column number: {choices}"
            )
        if not positions and field in self.columns:
            return field
        if not positions and field.isascii() and field.isdigit() and 0 < int(field) <= len(names):
            positions = [int(field) - 1]
        if not positions:
            raise UsageError(
                f"unknown column {field!r}; columns: {self.column_list}{self._delimiter_hint()}"
            )
        return self.columns[positions[0]]

    def _delimiter_hint(self) -> str:
        """Return a question about the delimiter if the only column name contains another one."""
        found = len(self.header) == 1 and find_other_delimiter(self.header[0], self.delimiter)
        return f"; is the delimiter {found}?" if found else ""

    def check_unique_columns(self) -> None:
        """Raise `InputError` if the header of a table, which was read, repeats a name."""
        for name, column in zip(self.header, self.columns, strict=True):
            if name.strip() not in ("", column):
                place = format_place(self._tables[0].source.name, 1)
                raise InputError(f"{place}: repeated column name {name.strip()!r}")

    @property
    def column_list(self) -> str:
        """The names of the columns of a table, for messages."""
        return ", ".join(cell.strip() or f"(column {i})" for i, cell in enumerate(self.header, 1))

    def __iter__(self) -> Iterator[Record | None]:
        for record in self._all_records():
            if record is not None:
                if self.shard and self.format != "file" and not self.shard.contains(record.digest):
                    continue
                self.n_read += 1
            yield record
        self.is_done = True

    def _all_records(self) -> Iterator[Record | None]:
        """Yield the records, also those of other shards unless they are files."""
        if self.format == "csv":
            yield from self.read_header()
            for table in self._tables:
                yield from map(partial(self._from_row, table), table)
        elif self.format == "file":
            yield from self._read_files()
        elif self.format == "line":
            for source in self._sources:
                yield from self._from_lines(source, source, self._from_line)
        else:
            for source in self._sources:
                yield from self._read_json(source)

    def _record(self, source: str, line: int | None, data: bytes, **values: Any) -> Record:
        self.n_records += 1
        digest = hashlib.sha256(data).digest()
        return Record(index=self.n_records - 1, source=source, line=line, digest=digest, **values)

    def _read_json(self, source: LineSource) -> Iterator[Record | None]:
        chunks = source.chunks()
        start = b""
        for chunk in chunks:
            if chunk is None:
                yield None
                continue
            start += chunk
            if is_array(start) is not None or len(start) > _MAX_START_BYTES:
                break
        has_lines = not start.strip() or is_array(start) is False
        content = chain([start], chunks)
        lines = join_lines(source.split_lines(content)) if has_lines else split_array(content)
        yield from self._from_lines(source, lines, self._from_json)

    def _from_lines(
        self,
        source: LineSource,
        lines: Iterable[Line | None],
        make: Callable[[LineSource, Line], Record],
    ) -> Iterator[Record | None]:
        for line in lines:
            if line is None:
                yield None
                continue
            if not line.data.strip() and (line.data or line.end):
                self.n_skipped += 1
                continue
            try:
                yield make(source, line)
            except LlmtoolError as exc:
                snippet = line.data[:_MAX_SNIPPET_BYTES].decode("utf-8", "replace")
                yield self._record(
                    source.name, line.number, line.data, fields={"input": snippet}, error=exc
                )

    def _from_line(self, source: LineSource, line: Line) -> Record:
        text = _decode_line(source, line).removesuffix("\r")
        return self._record(source.name, line.number, line.data, text=text, fields={"input": text})

    def _from_json(self, source: LineSource, line: Line) -> Record:
        text = _decode_line(source, line)
        place = format_place(source.name, line.number)
        try:
            value, written = decode_json(text, errors=self.errors)
        except InputError as exc:
            raise InputError(f"{place}: {with_line(str(exc), line)}") from exc
        if isinstance(value, str):
            return self._record(
                source.name, line.number, line.data, text=value, fields={"input": value}
            )
        if isinstance(value, list) and value and all(map(is_message, value)):
            value = {"messages": value}
        if not isinstance(value, dict):
            raise InputError(f"{place}: expected a JSON object, a string or a list of messages")
        return self._record(source.name, line.number, line.data, fields=value, written=written)

    def _from_row(self, table: Table, row: TableRow | None) -> Record | None:
        if row is None:
            return None
        name, error = table.source.name, row.error
        if error is None and len(row.cells) != len(self.columns):
            n_cells = format_count(len(row.cells), "cell")
            place = format_place(name, row.line)
            error = InputError(f"{place}: {n_cells}, but the header has {len(self.columns)}")
        fields = dict(zip(self.columns, row.cells, strict=False))
        return self._record(name, row.line, row.data, fields=fields, error=error)

    def _read_files(self) -> Iterator[Record | None]:
        names: Iterable[str | None] = self._paths
        if self._sources:
            names = (name for source in self._sources for name in _file_names(source))
        for name in names:
            if name is None:
                yield None
            elif self._has_file(name):
                yield self._from_file(name)
            else:  # a file of another shard is not read
                self.n_records += 1

    def _has_file(self, path: str) -> bool:
        if self.shard is None:
            return True
        return self.shard.contains(hashlib.sha256(escape_name(path).encode()).digest())

    def _read_text(self, path: str) -> tuple[bytes, str]:
        data = read_file(path)
        source = escape_name(path)
        return data, decode(data, source=source, errors=self.errors, encoding=self.encoding)

    def _from_file(self, path: str) -> Record:
        shown = escape_name(path)
        fields = {"file": shown}
        try:
            data, text = self._read(path)
        except LlmtoolError as exc:
            return self._record(shown, None, shown.encode(), fields=fields, error=exc)
        return self._record(shown, None, shown.encode() + b"\0" + data, text=text, fields=fields)


def _file_names(source: LineSource) -> Iterator[str | None]:
    """Yield the file names in a list, None while a pipe has no data."""
    for line in source:
        if line is None:
            yield None
        elif line.data.strip():
            yield line.data.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _unique(names: list[str]) -> list[str]:
    """Append a number to each name that occurred before.

    Example:
        >>> _unique(["note", "text", "note", "note_2"])
        ['note', 'text', 'note_3', 'note_2']
    """
    taken, numbers, found = set(names), dict[str, int](), list[str]()
    for name in names:
        if name not in numbers:
            numbers[name] = 2
            found.append(name)
            continue
        while (new := f"{name}_{numbers[name]}") in taken:
            numbers[name] += 1
        taken.add(new)
        found.append(new)
    return found


def _decode_line(source: LineSource, line: Line) -> str:
    if line.is_too_long:
        raise too_long(format_place(source.name, line.number))
    return source.decode(line).removesuffix("\n")
