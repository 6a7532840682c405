"""The rows of a CSV or TSV file, as Python's `csv` module reads them."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmtool.batch.lines import Line, LineSource, format_place
from llmtool.encoding import MAX_BYTES, too_long
from llmtool.errors import InputError, LlmtoolError, UsageError

_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t", "pipe": "|"}
_DETECTED = "\t;|,"  # in order of preference
_MAY_LACK_QUOTING = "\t|"
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 10, 20_000
_MAX_QUOTED_LINES = 1000  # of a cell, if the file may have no quoting
_MAX_SNIPPET = 1000  # characters of each cell of an unclosed row
_LINES_PER_YIELD = 256
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')  # which Excel writes and reads
_COLUMN_NAME = re.compile(r"[^\W\d][\w.#%()/-]*(?: [\w.#%()/-]+){0,3}")
_END: Any = object()

csv.field_size_limit(MAX_BYTES)


class TableRow(msgspec.Struct, frozen=True):
    """A row: the number of its first line, its bytes, its cells, and why it is invalid."""

    line: int
    data: bytes
    cells: list[str]
    error: LlmtoolError | None = None


class _NoLine(Exception):
    """The next line is not available yet."""


class _TooLong(Exception):
    """The row exceeds a limit."""


def parse_delimiter(value: str) -> str:
    """Return a delimiter that is given as a character or by its name.

    Raises:
        UsageError: it is not a delimiter.

    Example:
        >>> parse_delimiter("tab"), parse_delimiter(";")
        ('\\t', ';')
    """
    delimiter = _NAMES.get(value, value)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise UsageError(
            f"delimiter {value!r}: must be one ASCII character, such as ';', ',', '|' or tab"
        )
    return delimiter


def find_other_delimiter(text: str, current: str) -> str | None:
    """Return the most frequent delimiter in a text except the current one, as a user types it.

    Example:
        >>> find_other_delimiter("id,body,note", ";")
        "','"
    """
    found = max(_DETECTED.replace(current, ""), key=text.count)
    if found not in text:
        return None
    return "tab" if found == "\t" else repr(found)


class Table:
    """The rows of a file; the first one is the header.

    Iteration yields the rows that were not read before, and `None` while a pipe has no data. A
    blank line is not a row. The delimiter is detected with the first row.

    A cell that begins with a quote is quoted. A file separated by tabs or pipes may have no
    quoting: there, quotes are ordinary characters from the first row on that is not well-formed
    with quoting, but has as many cells as the header without, unless an earlier row needs quoting.
    """

    def __init__(self, source: LineSource, *, delimiter: str | None = None) -> None:
        self.source = source
        self.delimiter = None if delimiter is None else parse_delimiter(delimiter)
        self._lines = iter(source)
        self._waiting: deque[Line] = deque()  # lines to read before `_lines`
        self._n_columns = 0
        self._has_quoting = True
        self._is_quoting_certain = False
        self._begin_row()

    def __iter__(self) -> Iterator[TableRow | None]:
        if self.delimiter is None:
            yield from self._detect_delimiter()
        rows = self._open()
        while True:
            self._begin_row()
            cells, error = [], None
            try:
                cells = next(rows)
            except StopIteration:
                return
            except _NoLine:
                yield from self._wait()
                continue
            except (csv.Error, _TooLong) as exc:
                error = self._describe(exc)
            if self._may_lack_quoting and self._lacks_quoting(cells, error):
                self._has_quoting, self._is_quoting_certain = False, True
                self._waiting.extendleft(reversed(self._row))
                rows = self._open()
            elif cells or error:
                self._n_columns = self._n_columns or len(cells)
                yield self._make_row(cells, error)

    def _begin_row(self) -> None:
        self._row: list[Line] = []
        self._texts: list[str] = []
        self._size = 0
        self._decoding_error: LlmtoolError | None = None

    def _open(self) -> Iterator[list[str]]:
        assert self.delimiter is not None
        lines = iter(self._take, None)
        if self._has_quoting:
            return csv.reader(lines, delimiter=self.delimiter)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)

    def _take(self) -> str | None:
        """Return the next line of the row; None at the end."""
        line = self._waiting.popleft() if self._waiting else next(self._lines, _END)
        if line is _END:
            return None
        if line is None:
            raise _NoLine
        self._row.append(line)
        self._texts.append(self._decode(line))
        self._size += len(line.data) + len(line.end)
        if line.is_too_long or self._size > MAX_BYTES:
            raise _TooLong
        if self._may_lack_quoting and len(self._row) > _MAX_QUOTED_LINES:
            raise _TooLong
        return self._texts[-1]

    def _decode(self, line: Line) -> str:
        try:
            return self.source.decode(line)
        except LlmtoolError as exc:
            # Invalid bytes do not change where the row ends.
            self._decoding_error = self._decoding_error or exc
            return self.source.decode(line, errors="replace")

    def _wait(self) -> Iterator[None]:
        """Wait for a line that can end the row, which is then read again from its start."""
        while (line := next(self._lines, _END)) is not _END:
            if line is None:
                yield None
                continue
            self._row.append(line)
            # Within a row, a quote is open.
            if len(self._row) == 1 or b'"' in line.data or not len(self._row) % _LINES_PER_YIELD:
                break
        self._waiting.extend(self._row)

    @property
    def _may_lack_quoting(self) -> bool:
        return not self._is_quoting_certain and self.delimiter in tuple(_MAY_LACK_QUOTING)

    def _lacks_quoting(self, cells: list[str], error: LlmtoolError | None) -> bool:
        """Return whether the row shows that the file has no quoting."""
        plain = [text.rstrip("\r\n").split(self.delimiter) for text in self._texts]
        if not any(cell.startswith('"') for cell in plain[0]):
            return False
        is_valid = error is None and self._find_fault() is None
        n_columns = self._n_columns or (len(cells) if is_valid else len(plain[0]))
        if is_valid and len(cells) == n_columns:
            # Several lines that are all complete rows without quoting are not one row.
            is_plain = all(len(row) == n_columns for row in plain)
            self._is_quoting_certain = not is_plain
            return is_plain and len(plain) > 1
        return len(plain[0]) == n_columns

    def _make_row(self, cells: list[str], error: LlmtoolError | None) -> TableRow:
        place = format_place(self.source.name, self._row[0].number)
        error = error or self._decoding_error
        if error is None and (fault := self._find_fault()) is not None:
            error = InputError(f"{place}: {fault}")
        if not cells:
            rows = csv.reader([self._texts[0][:_MAX_SNIPPET]], delimiter=self.delimiter or ",")
            cells = next(rows, [])
        data = b"".join(line.data + line.end for line in self._row).removesuffix(b"\n")
        return TableRow(self._row[0].number, data, cells, error)

    def _find_fault(self) -> str | None:
        """Return why the row is malformed, although `csv` reads it."""
        if not self._has_quoting or not any('"' in text for text in self._texts):
            return None
        try:
            next(csv.reader(self._texts, delimiter=self.delimiter or ",", strict=True))
        except csv.Error as exc:
            return "unclosed quote" if "unexpected end" in str(exc) else f"not valid CSV: {exc}"
        return None

    def _describe(self, exc: csv.Error | _TooLong) -> LlmtoolError:
        place = format_place(self.source.name, self._row[0].number)
        if self._decoding_error is not None:
            return self._decoding_error
        if len(self._row) > 1:
            return InputError(f"{place}: unclosed quote")
        if isinstance(exc, _TooLong):
            return too_long(place)
        return InputError(f"{place}: not valid CSV: {exc}")

    def _detect_delimiter(self) -> Iterator[None]:
        """Set the delimiter from the header, and if several are possible, from the next lines."""
        sample: list[Line] = []
        while len(sample) < _SAMPLE_LINES and (line := next(self._lines, _END)) is not _END:
            if line is None:
                yield None
                continue
            text = self._decode(line)
            if not sample and not text.strip("\r\n"):
                continue
            if not sample and (named := _SEPARATOR_LINE.fullmatch(text)):
                self.delimiter = named[1]
                return
            sample.append(line)
            # A quote can continue the header on the next line.
            if len(sample) == 1 and text.count('"') % 2 == 0 and len(_rank_delimiters([text])) < 2:
                break
        self._waiting.extend(sample)
        self.delimiter = next(iter(_rank_delimiters(list(map(self._decode, sample)))), ",")


def find_header(name: str, text: str) -> list[str]:
    """Return the column names of a text that is or looks like a table, else an empty list.

    It is a table if `name` ends in .csv or .tsv. It looks like one if its first lines have the same
    number of cells, and the cells of the first line look like names.

    Example:
        >>> find_header("-", "id;text\\n1;Good, but late\\n")
        ['id', 'text']
        >>> find_header("-", "Yes, it is.\\nNo, not yet.\\n")
        []
    """
    lines = text[:_SAMPLE_CHARACTERS].splitlines(keepends=True)
    sample = [line for line in lines if line.strip()][:_SAMPLE_LINES]
    delimiter, share = next(iter(_rank_delimiters(sample).items()), (",", 0.0))
    header = next(csv.reader(sample, delimiter=delimiter), [])
    if name.lower().endswith((".csv", ".tsv")):
        return header
    looks_like_names = all(
        map(_COLUMN_NAME.fullmatch, header[1:] if header[:1] == [""] else header)
    )
    return header if share == 1 and len(sample) > 1 and looks_like_names else []


def _rank_delimiters(texts: Sequence[str]) -> dict[str, float]:
    """Return the delimiters in a header, the most likely first.

    The value is the share of the rows that have as many cells as the header.
    """
    cells = {each: _count_cells(texts, each) for each in _DETECTED if texts}
    shares = {each: n.count(n[0]) / len(n) for each, n in cells.items() if n[0] > 1}
    # After a space follows text, not another cell.
    counts = {each: len(re.findall(re.escape(each) + r"(?! )", texts[0])) for each in shares}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], -counts[item[0]])))


def _count_cells(texts: Sequence[str], delimiter: str) -> list[int]:
    """Return the number of cells of each row of a sample, 0 for a malformed row."""
    counts: list[int] = []
    try:
        counts += (len(row) for row in csv.reader(texts, delimiter=delimiter, strict=True) if row)
    except csv.Error as exc:
        if delimiter in _MAY_LACK_QUOTING:
            return [text.count(delimiter) + 1 for text in texts]
        if "unexpected end" not in str(exc):
            counts.append(0)
    return counts or [texts[0].count(delimiter) + 1]
