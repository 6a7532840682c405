"""Records from lines, JSON Lines, CSV or files: lazily, each one good or an error in its place."""

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

_MAX_KEPT = 1000  # bytes of a broken line that its row repeats
_LINES_AT_ONCE = 256

csv.field_size_limit(MAX_BYTES)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record: its fields in their order, or what is wrong with it.

    `text` is the whole of a record that is no set of fields: a line, or a file's content. `place`
    says where it stands; `digest` is a hash of what it was read from.
    """

    index: int
    place: str
    digest: bytes
    fields: dict[str, Any] = {}
    text: str | None = None
    error: LlmtoolError | None = None


class Reader:
    """The records of some files, or of standard input.

    Iterating yields `None` while the next record is not there yet. `columns` are those of CSV,
    known before the first record; `n_skipped` counts blank lines.

    Args:
        paths: the files to read, one after another; none means standard input. With the format
            "file" each is one record, and standard input is a list of their names.

    Raises:
        InputError: a source cannot be opened or read, or a CSV has no header.

    Example:
        >>> import os
        >>> r, w = os.pipe()
        >>> os.write(w, b'{"id": 1, "text": "hello"}'), os.close(w)
        (26, None)
        >>> [record.fields for record in Reader("jsonl", [f"/dev/fd/{r}"])]
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
        """How many records there are likely to be, None where nothing tells."""
        if self.is_done:
            return self._index
        if self.format == "file" and self._paths:
            return len(self._paths)
        sizes = [source.size_bytes for source in self._sources]
        consumed = sum(source.n_consumed for source in self._sources)
        if None in sizes or not consumed:
            return None
        return self._index * sum(filter(None, sizes)) / consumed

    def reads(self, path: str) -> bool:
        """Whether a file is among those that are read, by whatever name."""
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
        """Read the columns of a CSV, once; yields while they have not arrived.

        Raises:
            InputError: there are none, or two are alike.
            UsageError: the files have different ones.
        """
        if self.columns:
            return
        for file in self._files:
            yield from file.read_header()
            if self.columns and file.columns != self.columns:
                raise UsageError(f"{file.source.name}: has other columns than the file before it")
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
        self, source: LineSource, make: Callable[[LineSource, Line, str], Record]
    ) -> Iterator[Record | None]:
        for line in source:
            if line is None:
                yield None
                continue
            if not line.data.strip():
                self.n_skipped += 1
                continue
            place = f"{source.name}:{line.number}"
            try:
                yield make(source, line, place)
            except LlmtoolError as exc:
                kept = {"input": line.data[:_MAX_KEPT].decode("utf-8", "replace")}
                yield _record(place, line.data, fields=kept, error=exc)

    def _from_line(self, source: LineSource, line: Line, place: str) -> Record:
        text = _text_of(source, line, self.errors).removesuffix("\r")
        return _record(place, line.data, text=text, fields={"text": text})

    def _from_json(self, source: LineSource, line: Line, place: str) -> Record:
        text = _text_of(source, line, self.errors)
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as exc:
            raise InputError(f"{place}: not JSON: {format_json_error(exc)}") from exc
        except RecursionError:
            raise InputError(f"{place}: nested too deeply") from None
        if isinstance(value, str):
            return _record(place, line.data, text=value, fields={"text": value})
        if not isinstance(value, dict):
            raise InputError(f"{place}: a JSON object or a text is needed")
        return _record(place, line.data, fields=value)

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
            return _record(shown, shown.encode(), fields=fields, error=exc)
        return _record(shown, shown.encode() + b"\0" + data, text=text, fields=fields)


class _CsvFile:
    """The records of one CSV file: rows under a header, quotes and line ends inside them kept.

    Tabs separate the cells where the header has tabs and no commas.
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
            place, _, cells = row
            if isinstance(cells, LlmtoolError):
                raise cells
            self.columns = [cell.strip() for cell in cells]
            if len(set(self.columns)) < len(cells) or not all(self.columns):
                raise InputError(f"{place}: the columns of a CSV need names that differ")
            return
        raise InputError(f"{self.source.name}: a CSV needs a line with the names of its columns")

    def records(self) -> Iterator[Record | None]:
        for row in self._rows():
            if row is None:
                yield None
                continue
            place, data, cells = row
            if isinstance(cells, LlmtoolError):
                yield _record(place, data, fields=self._guess(data), error=cells)
            elif len(cells) != len(self.columns):
                n, wanted = len(cells), len(self.columns)
                told = f"{place}: {format_count(n, 'cell')} where the header has {wanted}"
                error = InputError(told)
                yield _record(place, data, fields=self._named(cells), error=error)
            else:
                yield _record(place, data, fields=self._named(cells))

    def _guess(self, data: bytes) -> dict[str, str]:
        """Return what can be read of a broken row."""
        texts = data[:_MAX_KEPT].decode("utf-8", "replace").splitlines(keepends=True)
        return self._named(next(csv.reader(texts, delimiter=self._delimiter), []))

    def _named(self, cells: list[str]) -> dict[str, str]:
        return dict(zip(self.columns, cells, strict=False))

    def _rows(self) -> Iterator[tuple[str, bytes, list[str] | LlmtoolError] | None]:
        """Yield (place, bytes, cells); the reader is asked for more lines while quotes are open."""
        pending: list[Line] = []
        is_even = True  # the number of quotes: an odd one leaves a quote open
        for line in self._lines:
            if line is None:
                yield None
                continue
            if not pending and not line.data.strip():
                continue
            pending.append(line)
            is_even = is_even == (line.data.count(b'"') % 2 == 0)
            if len(pending) > 1 and not is_even and not line.is_too_long:
                if len(pending) % _LINES_AT_ONCE == 0:
                    yield None  # whoever waits can be stopped meanwhile
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
    ) -> tuple[str, bytes, list[str] | LlmtoolError]:
        place = f"{self.source.name}:{lines[0].number}"
        data = b"\n".join(line.data for line in lines)
        return place, data, cells or InputError(f"{place}: a quote is opened and never closed")

    def _parse(self, lines: list[Line]) -> list[str] | LlmtoolError | None:
        """Return the cells of a record, None while a quote is open."""
        try:
            texts = [_text_of(self.source, line, self._errors) for line in lines]
        except LlmtoolError as exc:
            # Where the record ends does not depend on the bytes that are no text.
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
            return InputError(f"{self.source.name}:{first.number}: not CSV: {exc}")


def _text_of(source: LineSource, line: Line, errors: Errors) -> str:
    place = f"{source.name}:{line.number}"
    if line.is_too_long:
        raise too_long(place)
    return decode(line.data, source=place, errors=errors, offset=line.offset)


def _record(
    place: str,
    data: bytes,
    *,
    text: str | None = None,
    fields: dict[str, Any] | None = None,
    error: LlmtoolError | None = None,
) -> Record:
    digest = hashlib.sha256(data).digest()
    return Record(index=-1, place=place, digest=digest, fields=fields or {}, text=text, error=error)
