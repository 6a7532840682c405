"""The output file of a batch: append-only, locked, and a journal of what is done.

Every row of JSON Lines or CSV ends with the key of its record: a hash of the record and of all that
shapes its result. A run that was killed at any byte leaves whole rows and at most one torn one;
resuming cuts that off and compares the keys of the rest with the records, one by one.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmtool.batch.writers import ERROR, KEY, OutputFormat
from llmtool.errors import LockedError, OutputError, UsageError

_SYNC_ROWS = 200
_BLOCK_BYTES = 1 << 20


def record_key(identity: bytes, digest: bytes) -> str:
    """Return the key of a record; `identity` is a hash of the template, model and options."""
    return hashlib.sha256(identity + digest).hexdigest()[:16]


class Done(msgspec.Struct, frozen=True):
    """A row of an earlier run."""

    key: str
    has_failed: bool


def check_writable(path: Path, format: OutputFormat, *, resume: bool, overwrite: bool) -> None:
    """Check that an existing file can become a journal, before any work is done.

    Raises:
        UsageError, LockedError, OutputError: as `Journal` would.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written: {exc.strerror}") from exc
    try:
        _lock(file, path)
        _refuse_content(file, path, format, is_told=resume or overwrite)
    finally:
        os.close(file)


class Journal:
    """An output file that rows are appended to.

    Args:
        path: the file; a new one is made, one with content needs `resume` or `overwrite`.
        header: the bytes that such a file begins with.

    Raises:
        UsageError: the file has content and nothing says what to do with it, or it is not the
            output of a batch in this format.
        LockedError: another process writes it.
        OutputError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        *,
        header: bytes = b"",
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path, self._format, self._header = path, format, header
        self._since_sync = 0
        self.n_done = self._end = 0
        self._open()
        try:
            if self._is_regular:
                _lock(self._file, path)
                self._prepare(resume=resume, overwrite=overwrite)
            elif resume:
                raise UsageError(f"{path}: no file that can be resumed")
        except BaseException:
            os.close(self._file)
            raise

    def _open(self) -> None:
        try:
            # A FIFO is no file that could be read back.
            flags = os.O_RDWR if self.path.is_file() or not self.path.exists() else os.O_WRONLY
            self._file = os.open(self.path, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as exc:
            raise OutputError(f"{self.path}: cannot be written: {exc.strerror}") from exc
        self._is_regular = self.path.is_file()

    def _prepare(self, *, resume: bool, overwrite: bool) -> None:
        _refuse_content(self._file, self.path, self._format, is_told=resume or overwrite)
        if os.fstat(self._file).st_size and resume:
            self._end = self._find_end()
            self._check_beginning()

    def begin(self) -> None:
        """Make the file ready for the first new row; until then nothing in it is changed."""
        if not self._is_regular:
            self._write(self._header)
            return
        try:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
        except OSError as exc:
            raise OutputError(f"{self.path}: write error: {exc.strerror}") from exc
        if not self._end:
            self._write(self._header)

    def _find_end(self) -> int:
        """Return where the last whole row ends, and count the rows."""
        end = at = 0
        is_open = False  # a quote of CSV
        with open(self.path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                for piece in _pieces(block):
                    if self._format == "csv" and piece.count(b'"') % 2:
                        is_open = not is_open
                    at += len(piece)
                    if piece.endswith(b"\n") and not is_open:
                        end = at
                        self.n_done += 1
        if self._format == "csv" and self.n_done:
            self.n_done -= 1
        return end

    def _check_beginning(self) -> None:
        """See that the file can be ours, before a torn end of it is cut off.

        Raises:
            UsageError: it begins with something else.
        """
        with open(self.path, "rb") as file:
            found = file.read(max(len(self._header), 2))
        if self._format == "csv":
            is_ours = self._header.startswith(found)
            reason = "has other columns than this batch would write"
        else:
            is_ours = b'{"'.startswith(found[:2])
            reason = "is not the output of a batch"
        if not is_ours:
            raise UsageError(f"{self.path}: {reason}; nothing was changed")

    def rows(self) -> Iterator[Done]:
        """Yield the rows that are there, in their order.

        Raises:
            UsageError: a row is none of ours.
        """
        with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.DictReader(file) if self._format == "csv" else map(_decode, file)
            for _ in range(self.n_done):
                row = next(iter(rows), None)
                key = row.get(KEY) if isinstance(row, dict) else None
                if not isinstance(key, str):
                    raise UsageError(
                        f"{self.path}: is not the output of a batch (a row has no key); "
                        "nothing was changed"
                    )
                yield Done(key, bool(row.get(ERROR)) if isinstance(row, dict) else False)

    def append(self, row: bytes) -> None:
        """Write a row; it is with the system when this returns, and soon on disk."""
        self._write(row)
        self._since_sync += 1
        if self._since_sync >= _SYNC_ROWS:
            self.sync()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as exc:
            raise OutputError(f"{self.path}: write error: {exc.strerror}") from exc

    def sync(self) -> None:
        self._since_sync = 0
        if self._is_regular:
            try:
                os.fsync(self._file)
            except OSError as exc:
                raise OutputError(f"{self.path}: write error: {exc.strerror}") from exc

    def close(self) -> None:
        """Bring all to disk and let others write."""
        try:
            self.sync()
        finally:
            with contextlib.suppress(OSError):
                os.close(self._file)


def _pieces(block: bytes) -> Iterator[bytes]:
    """Yield the parts of a block that newlines end; the last one may have none."""
    start = 0
    while (at := block.find(b"\n", start)) >= 0:
        yield block[start : at + 1]
        start = at + 1
    if start < len(block):
        yield block[start:]


def _decode(line: str) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None


def _refuse_content(file: int, path: Path, format: OutputFormat, *, is_told: bool) -> None:
    """Leave a file alone that has content, unless it is told what becomes of it.

    Raises:
        UsageError: it has.
    """
    if os.fstat(file).st_size and not is_told:
        resume = "" if format == "text" else "--resume goes on with it, "
        raise UsageError(f"{path}: is there already ({resume}--overwrite replaces it)")


def _lock(file: int, path: Path) -> None:
    """Lock an open file for as long as it is open.

    Raises:
        LockedError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: whoever opens the file there may share it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise LockedError(f"{path}: another process writes it; wait for its end") from exc
    except OSError:
        return  # a file system without locks
