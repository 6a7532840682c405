"""Lines of bytes from a file or a pipe, in bounded memory and without blocking."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from typing import Literal

import msgspec

from llmtool.encoding import MAX_BYTES, too_long
from llmtool.errors import InputError, os_error_reason

Separator = Literal["LF", "any", "NUL"]

_CHUNK_BYTES = 1 << 16
_ENDS: dict[Separator, tuple[bytes, ...]] = {
    "LF": (b"\n",),
    "any": (b"\r\n", b"\n", b"\r"),
    "NUL": (b"\0",),
}


class Line(msgspec.Struct, frozen=True):
    """A line, its number from 1, and the offset of its first byte.

    `data` is without the line ending `end`, and if `is_too_long`, only its first `MAX_BYTES` bytes.
    """

    data: bytes
    end: bytes
    number: int
    offset: int
    is_too_long: bool = False


class LineSource:
    """The lines of a file, or of standard input (`-`), which is opened by the first iteration.

    Iteration yields `None` while a pipe has no data. `n_consumed` is the number of bytes of the
    lines yielded so far, out of `size_bytes`, which is None for a pipe.

    Args:
        separator: what separates lines: LF; "any" of LF, CRLF and CR; or "NUL", if the first chunk
            contains one, and otherwise LF.

    Raises:
        InputError: the file does not exist, or cannot be read.
    """

    def __init__(self, path: str, *, separator: Separator = "LF") -> None:
        self.name = "standard input" if path == "-" else path
        self.n_consumed = 0
        self._path, self._separator = path, separator
        self._fd, self._ended = -1, False
        try:
            self.info = os.fstat(0) if path == "-" else os.stat(path)
        except FileNotFoundError as exc:
            raise InputError(f"{self.name}: no such file") from exc
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc
        if stat.S_ISDIR(self.info.st_mode):
            raise InputError(f"{self.name} is a directory; use a file")
        if path != "-" and not os.access(path, os.R_OK):
            raise InputError(f"cannot read {self.name}: permission denied")
        self.size_bytes = self.info.st_size if stat.S_ISREG(self.info.st_mode) else None

    def __iter__(self) -> Iterator[Line | None]:
        pending: list[bytes] = []  # pieces of an incomplete line
        size, number, offset = 0, 1, 0  # of that line
        for chunk in self.chunks():
            if chunk is None:
                yield None
                continue
            if self._separator == "NUL" and number == 1 and not size and b"\0" not in chunk:
                self._separator = "LF"
            *complete, rest = self._split(chunk)
            for piece in complete:
                pending.append(piece)
                size += len(piece)
                self.n_consumed = offset + size
                yield self._line(pending, number, offset)
                number, offset = number + 1, offset + size
                pending, size = [], 0
            if size <= MAX_BYTES:
                pending.append(rest)
            size += len(rest)
            if not complete:
                yield None  # lets the caller cancel in the middle of a long line
        if size:  # the last line has no end
            self.n_consumed = offset + size
            yield self._line(pending, number, offset)

    def chunks(self) -> Iterator[bytes | None]:
        """Yield the content in chunks, which do not end within a CRLF.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            self._fd = 0 if self._path == "-" else os.open(self._path, os.O_RDONLY)
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc
        held = b""
        while not self._ended:
            if not self._is_ready():
                yield None
                continue
            chunk = held + self._read()
            held = b"\r" if chunk.endswith(b"\r") and not self._ended else b""
            if chunk := chunk.removesuffix(held):
                yield chunk

    def _split(self, chunk: bytes) -> list[bytes]:
        """Split a chunk after each line end; the last piece is an incomplete line, or empty."""
        ends = _ENDS[self._separator]
        if self._separator == "any":
            pieces = chunk.splitlines(keepends=True)
            return [*pieces, b""] if pieces[-1].endswith(ends) else pieces
        *complete, rest = chunk.split(ends[0])
        return [*(piece + ends[0] for piece in complete), rest]

    def _line(self, pieces: list[bytes], number: int, offset: int) -> Line:
        data = b"".join(pieces)
        end = next(filter(data.endswith, _ENDS[self._separator]), b"")
        data = data.removesuffix(end)
        return Line(data[:MAX_BYTES], end, number, offset, len(data) > MAX_BYTES)

    def _is_ready(self) -> bool:
        if self.size_bytes is not None or os.name == "nt":  # select supports only sockets there
            return True
        return bool(select.select([self._fd], [], [], 0)[0])

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc
        if not chunk:
            self._ended = True
            if self._fd > 2:
                os.close(self._fd)
        return chunk


def format_place(source: str, line: int) -> str:
    """Return a position for messages: `rows.csv, line 3`."""
    return f"{source}, line {line}"


def read_file(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        InputError: the file does not exist, is a directory, or cannot be read.
        ContextOverflow: the file is larger than any context.
    """
    try:
        if os.path.isdir(path):
            raise InputError(f"{path} is a directory; use a file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    if len(data) > MAX_BYTES:
        raise too_long(path)
    return data
