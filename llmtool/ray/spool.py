"""A file from which one process reads items while another still writes them."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LENGTH = struct.Struct(">Q")
_END = 2**64 - 1
_POLL_SECONDS = 0.02


class Spool:
    """Writes items, each with its length; `end` marks the end.

    Ray may read the items again after a failure, so a pipe would not do.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "items")
        >>> spool = Spool(path)
        >>> spool.add(b"one")
        >>> spool.end()
        >>> list(read_spool(path))
        [b'one']
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)

    def add(self, item: bytes) -> None:
        self._write(_LENGTH.pack(len(item)) + item)

    def end(self) -> None:
        if not self._file.closed:
            self._write(_LENGTH.pack(_END))
            self._file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def read_spool(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the items of a spool, waiting for those that are not written yet."""
    with open(path, "rb") as file:
        while (length := _LENGTH.unpack(_read(file, _LENGTH.size))[0]) != _END:
            yield _read(file, length)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    while len(data) < size:
        time.sleep(_POLL_SECONDS)
        data += file.read(size - len(data))
    return data
