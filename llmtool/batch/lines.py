"""Lines of bytes from a file or a pipe, as they come: bounded memory, and no waiting."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator

import msgspec

from llmtool.encoding import MAX_BYTES, too_long
from llmtool.errors import InputError

_CHUNK_BYTES = 1 << 16


class Line(msgspec.Struct, frozen=True):
    """A line without its end, its number from 1, and the offset of its first byte.

    `is_too_long` says that only the beginning of it was kept.
    """

    data: bytes
    number: int
    offset: int
    is_too_long: bool = False


class LineSource:
    """The lines of a file, or of standard input (`-`), opened when the first one is asked for.

    `None` among the lines says that nothing is there yet. `n_consumed` counts the bytes of the
    lines that were taken, of `size_bytes` in all, which is None for a pipe.

    Args:
        separator: what ends a line; None takes NUL where the first piece holds one, else newline.

    Raises:
        InputError: there is no such file, or it cannot be read.
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
            raise InputError(f"{self.name}: cannot be read: {exc.strerror}") from exc
        if stat.S_ISDIR(self.info.st_mode):
            raise InputError(f"{self.name}: is a directory")
        if path != "-" and not os.access(path, os.R_OK):
            raise InputError(f"{self.name}: cannot be read: Permission denied")
        self.size_bytes = self.info.st_size if stat.S_ISREG(self.info.st_mode) else None

    def __iter__(self) -> Iterator[Line | None]:
        pending: list[bytes] = []  # pieces of a line that is not complete
        size, number, offset = 0, 1, 0  # of that line
        self._open()
        while True:
            if not self._is_ready():
                yield None
                continue
            chunk = self._read()
            if self._separator is None:
                self._separator = b"\0" if b"\0" in chunk else b"\n"
            *whole, rest = chunk.split(self._separator)
            for piece in whole:
                line = self._line(pending, piece, size, number, offset)
                offset += size + len(piece) + 1
                number += 1
                pending, size = [], 0
                self.n_consumed = offset
                yield line
            if size <= MAX_BYTES:
                pending.append(rest)
            size += len(rest)
            if self._ended:
                if size:  # the last line has no end
                    self.n_consumed = offset + size
                    yield self._line(pending, b"", size, number, offset)
                return
            if not whole:
                yield None  # whoever waits for a long line can be stopped meanwhile

    def _open(self) -> None:
        try:
            self._fd = 0 if self._path == "-" else os.open(self._path, os.O_RDONLY)
        except OSError as exc:
            raise InputError(f"{self.name}: cannot be read: {exc.strerror}") from exc

    def _line(
        self, pending: list[bytes], piece: bytes, size: int, number: int, offset: int
    ) -> Line:
        whole = b"".join([*pending, piece])
        is_too_long = size + len(piece) > MAX_BYTES
        return Line(whole[:MAX_BYTES] if is_too_long else whole, number, offset, is_too_long)

    def _is_ready(self) -> bool:
        if self.size_bytes is not None or os.name == "nt":  # select knows sockets alone there
            return True
        return bool(select.select([self._fd], [], [], 0)[0])

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except OSError as exc:
            raise InputError(f"{self.name}: cannot be read: {exc.strerror}") from exc
        if not chunk:
            self._ended = True
            if self._fd > 2:
                os.close(self._fd)
        return chunk


def read_file(path: str) -> bytes:
    """Return a file's bytes.

    Raises:
        InputError: it cannot be read, or is a directory.
        ContextOverflow: it is larger than any context.
    """
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: is a directory")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    if len(data) > MAX_BYTES:
        raise too_long(path)
    return data
