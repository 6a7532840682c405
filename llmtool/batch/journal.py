"""The output file of a batch: locked, append-only, and the journal of completed records.

Each row of JSON Lines or CSV contains a key: a hash of the record, the template, the model and the
options. A process killed at any point leaves complete rows and at most one partial row. Resuming
truncates the partial row and checks the keys of the others against the records, in order. Failed
rows, and rows of records that an interrupt left unfinished before complete ones, are replaced in a
copy, which then replaces the file.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from llmtool.batch.writers import ERROR, ERROR_CODE, KEY, OutputFormat
from llmtool.errors import ExitCode, LockedError, OutputError, UsageError, os_error_reason
from llmtool.option_names import option
from llmtool.temporary import TemporaryFile, lock_descriptor, remove_leftovers

_SYNC_ROWS = 200
_KEY_DIGITS = 16
_DECODER = msgspec.json.Decoder(float_hook=float)  # also of numbers out of range, as infinity
_BLOCK_BYTES = 1 << 20
_REWRITE_SECONDS = 1.0


def record_key(parts: Mapping[str, bytes]) -> str:
    """Return the key of a row: a hash of its parts, and two digits of the hash of each part.

    The parts represent everything that affects a row: the record, model, template, options.
    """
    hashes = [hashlib.sha256(part).hexdigest() for part in parts.values()]
    whole = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return whole[:_KEY_DIGITS] + "".join(each[:2] for each in hashes)


def changed_parts(key: str, parts: Mapping[str, bytes]) -> list[str]:
    """Return the names of the parts that differ from those of a saved key, as far as it shows.

    Example:
        >>> key = record_key({"input": b"a", "model": b"m", "seed": b"1"})
        >>> changed_parts(key, {"input": b"a", "model": b"m", "seed": b"2"})
        ['seed']
    """
    expected = record_key(parts)
    if len(key) != len(expected):
        return []
    starts = range(_KEY_DIGITS, len(expected), 2)
    changed = (key[i : i + 2] != expected[i : i + 2] for i in starts)
    return [name for name, is_changed in zip(parts, changed, strict=True) if is_changed]


def split_rows(lines: Iterable[bytes], format: OutputFormat) -> Iterator[bytes]:
    """Yield the complete rows of lines; the quotes of a CSV row may contain line ends.

    Example:
        >>> list(split_rows([b'a,"b\\n', b'c"\\n', b'd,e\\n', b'f,'], "csv"))
        [b'a,"b\\nc"\\n', b'd,e\\n']
    """
    row: list[bytes] = []
    is_open = False
    for line in lines:
        row.append(line)
        is_open ^= format == "csv" and line.count(b'"') % 2 == 1
        if not is_open and line.endswith(b"\n"):
            yield b"".join(row)
            row.clear()


class SavedRow(msgspec.Struct, frozen=True):
    """A row that an earlier batch wrote: its bytes, and its values by column."""

    data: bytes
    values: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.values[KEY])

    @property
    def has_failed(self) -> bool:
        return bool(self.values.get(ERROR))

    @property
    def is_unfinished(self) -> bool:
        """Whether an interrupt stopped the record while a later one was already complete."""
        return str(self.values.get(ERROR_CODE)) == str(int(ExitCode.INTERRUPT))


def check_writable(path: Path, format: OutputFormat, *, resume: bool, overwrite: bool) -> None:
    """Check early that `Journal` will accept an existing file.

    Raises:
        UsageError, LockedError, OutputError: as `Journal`.
    """
    with _errors_as_output_error(path):
        file = os.open(path, os.O_RDWR)
    try:
        _lock(file, path)
        _check_content(file, path, format, allowed=resume or overwrite)
    finally:
        os.close(file)


class Journal:
    """The output file of a batch, to which rows are appended.

    Args:
        path: the file, which is created if needed. If it has content, `resume` or `overwrite` is
            required.
        header: the first bytes of the file.
        delimiter: of CSV.
        follow_links: whether the file may be a symbolic link.

    Raises:
        UsageError: the file has content but neither option is set, or it cannot be resumed because
            it is not the output of a batch in this format.
        LockedError: another process has locked the file.
        OutputError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        *,
        header: bytes = b"",
        delimiter: str = ",",
        resume: bool = False,
        overwrite: bool = False,
        follow_links: bool = True,
    ) -> None:
        self.path, self._format, self._header = path, format, header
        self._delimiter = delimiter
        self._columns = self._cells(header.decode())
        self._since_sync = 0
        self._replacements: dict[int, bytes] = {}
        self._next_rewrite = time.monotonic() + _REWRITE_SECONDS
        self.n_done = self._end = 0
        with _errors_as_output_error(path):
            # A FIFO can only be written.
            flags = os.O_RDWR if path.is_file() or not path.exists() else os.O_WRONLY
            flags |= 0 if follow_links else getattr(os, "O_NOFOLLOW", 0)
            self._file = os.open(path, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self.is_regular = path.is_file()
        try:
            if self.is_regular:
                _lock(self._file, path)
                _check_content(self._file, path, format, allowed=resume or overwrite)
                if os.fstat(self._file).st_size and resume:
                    self._end = self._find_end()
                    self._check_beginning()
            elif resume:
                raise UsageError(f"cannot resume {path}: not a regular file")
        except BaseException:
            os.close(self._file)
            raise

    def begin(self) -> None:
        """Truncate the file after its last complete row. Until then, it is unchanged."""
        if not self.is_regular:
            self._write(self._header)
            return
        with _errors_as_output_error(self.path):
            remove_leftovers(Path(os.path.realpath(self.path)).parent)
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
        if not self._end:
            self._write(self._header)

    def _find_end(self) -> int:
        """Return the end offset of the last complete row, and count the rows."""
        end = at = 0
        in_quotes = False  # CSV only
        with open(self.path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                for line in io.BytesIO(block):
                    if self._format == "csv" and line.count(b'"') % 2:
                        in_quotes = not in_quotes
                    at += len(line)
                    if line.endswith(b"\n") and not in_quotes:
                        end = at
                        self.n_done += 1
        if self._format == "csv" and self.n_done:
            self.n_done -= 1
        return end

    def _check_beginning(self) -> None:
        """Check that the file starts like a batch output, before it is truncated."""
        with open(self.path, "rb") as file:
            found = file.read(max(len(self._header), 2))
        if self._format == "csv":
            is_valid = self._header.startswith(found)
            reason = "its columns are not those of this batch"
        else:
            is_valid = b'{"'.startswith(found[:2])
            reason = "not the output of a batch"
        if not is_valid:
            raise UsageError(f"cannot resume {self.path}: {reason}; choose another file")

    def rows(self) -> Iterator[SavedRow]:
        """Yield the saved rows in order.

        Raises:
            UsageError: a row has no key.
        """
        for data in self.raw_rows():
            values = self.parse(data)
            if not isinstance(values.get(KEY), str):
                raise UsageError(
                    f"cannot resume {self.path}: not the output of a batch (row without key); "
                    "choose another file"
                )
            yield SavedRow(data, values)

    def parse(self, row: bytes) -> dict[str, Any]:
        """Return the values of a row by column; an invalid row has none."""
        text = row.decode("utf-8", "replace")
        if self._format == "csv":
            return dict(zip(self._columns, self._cells(text), strict=False))
        try:
            values = _DECODER.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return {}
        return values if isinstance(values, dict) else {}

    def _cells(self, row: str) -> list[str]:
        return next(csv.reader(io.StringIO(row, newline=""), delimiter=self._delimiter), [])

    def raw_rows(self) -> Iterator[bytes]:
        """Yield the bytes of each complete row."""
        with open(self.path, "rb") as file:
            file.seek(len(self._header))
            yield from islice(split_rows(file, self._format), self.n_done)

    def replace(self, number: int, row: bytes) -> None:
        """Replace a row by its number, from 0.

        Replacements are collected, and written before the next row is appended, and on close. A
        killed process loses at most those of a second or, if writing takes long, of 20 times that.
        """
        self._replacements[number] = row
        if time.monotonic() >= self._next_rewrite:
            self._rewrite()

    def _rewrite(self) -> None:
        """Write the file with its replacements to a copy, which replaces it atomically."""
        started = time.monotonic()
        path = Path(os.path.realpath(self.path))
        with _errors_as_output_error(path):
            temporary = TemporaryFile(path)
            copy = temporary.descriptor
            try:
                with open(copy, "wb", closefd=False) as file:
                    file.write(self._header)
                    for number, row in enumerate(self.raw_rows()):
                        file.write(self._replacements.get(number, row))
                    self._end = file.tell()
                shutil.copymode(path, temporary.name)
                os.fsync(copy)
                temporary.rename(close=False)  # still locked
            except BaseException:
                temporary.discard()
                raise
        os.close(self._file)
        self._file, self._replacements = copy, {}
        seconds = time.monotonic() - started
        self._next_rewrite = time.monotonic() + max(_REWRITE_SECONDS, 20 * seconds)

    def append(self, row: bytes) -> int:
        """Write a row, and return its number. Rows are synced to disk in groups, and on close."""
        if self._replacements:
            self._rewrite()
        self._write(row)
        self.n_done += 1
        self._since_sync += 1
        if self._since_sync >= _SYNC_ROWS:
            self.sync()
        return self.n_done - 1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with _errors_as_output_error(self.path):
            while view:
                view = view[os.write(self._file, view) :]

    def sync(self) -> None:
        self._since_sync = 0
        if self.is_regular:
            with _errors_as_output_error(self.path):
                os.fsync(self._file)

    def close(self) -> None:
        """Sync the file to disk and release the lock."""
        try:
            if self._replacements:
                self._rewrite()
            self.sync()
        finally:
            with contextlib.suppress(OSError):
                os.close(self._file)


@contextlib.contextmanager
def _errors_as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {os_error_reason(exc)}") from exc


def _check_content(file: int, path: Path, format: OutputFormat, *, allowed: bool) -> None:
    if os.fstat(file).st_size and not allowed:
        resume = "" if format == "text" else f"{option('resume', True)} to continue it or "
        overwrite = option("overwrite", True)
        raise UsageError(f"{path} already exists; use {resume}{overwrite} to replace it")


def _lock(file: int, path: Path) -> None:
    """Lock an open file until it is closed."""
    if lock_descriptor(file) is False:
        raise LockedError(f"another process is writing {path}; wait until it ends")
