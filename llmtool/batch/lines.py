"""Lines of bytes from a file or a pipe, in bounded memory and without blocking."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator

import msgspec

from llmtool.encoding import MAX_BYTES, too_long
from llmtool.errors import InputError, os_error_reason

_CHUNK_BYTES = 1 << 16


class Line(msgspec.Struct, frozen=True):
    """A line without its line ending, its number from 1, and the offset of its first byte.

    If `is_too_long`, `data` contains only the first `MAX_BYTES` bytes.
    """

    data: bytes
    number: int
    offset: int
    is_too_long: bool = False


class LineSource:
    """The lines of a file, or of standard input (`-`), which is opened by the first iteration.

    Iteration yields `None` while a pipe has no data. `n_consumed` is the number of bytes of the
    lines yielded so far, out of `size_bytes`, which is None for a pipe.

    Args:
        separator: the line separator; None selects NUL if the first chunk contains one, or else
            newline.

    Raises:
        InputError: the file does not exist, or cannot be read.
    """

    def __init__(self, path: str, *, separator: bytes | None = b"\n") -> None:
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
        pending: list[bytes] = []  # chunks of an incomplete line
        size, number, offset = 0, 1, 0  # of that line
        self._open()
        while True:
            if not self._is_ready():
                yield None
                continue
            chunk = self._read()
            if self._separator is None:
                self._separator = b"\0" if b"\0" in chunk else b"\n"
            *complete, rest = chunk.split(self._separator)
            for end in complete:
                line = self._line(pending, end, size, number, offset)
                offset += size + len(end) + 1
                number += 1
                pending, size = [], 0
                self.n_consumed = offset
                yield line
            if size <= MAX_BYTES:
                pending.append(rest)
            size += len(rest)
            if self._ended:
                if size:  # the last line has no newline
                    self.n_consumed = offset + size
                    yield self._line(pending, b"", size, number, offset)
                return
            if not complete:
                yield None  # lets the caller cancel in the middle of a long line

    def _open(self) -> None:
        try:
            self._fd = 0 if self._path == "-" else os.open(self._path, os.O_RDONLY)
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc

    def _line(self, pending: list[bytes], end: bytes, size: int, number: int, offset: int) -> Line:
        data = b"".join([*pending, end])
        is_too_long = size + len(end) > MAX_BYTES
        return Line(data[:MAX_BYTES] if is_too_long else data, number, offset, is_too_long)

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
