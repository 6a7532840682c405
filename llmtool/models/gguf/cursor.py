"""Read numbers and strings from the start of a possibly damaged file, with bounds checks.

It reads instead of mapping the file, because a mapping raises SIGBUS if the file shrinks.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO, Final

from llmtool.errors import ModelNotFound, ModelUnreadable, os_error_reason

MAX_HEADER_BYTES: Final = 256 * 1024 * 1024
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
_WINDOW = 1024 * 1024


def open_model(path: Path) -> BinaryIO:
    """Open a regular file for reading; never blocks on a FIFO or a device.

    Raises:
        ModelNotFound: the file does not exist.
        ModelUnreadable: a directory, a device, or not readable.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            file = os.fdopen(descriptor, "rb", buffering=0)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file
            file.close()
    except (FileNotFoundError, NotADirectoryError) as exc:
        link = " (dangling link)" if os.path.islink(path) else ""
        raise ModelNotFound(f"{path}: no such file{link}") from exc
    except (OSError, ValueError) as exc:
        reason = os_error_reason(exc) if isinstance(exc, OSError) else "invalid file name"
        raise ModelUnreadable(f"cannot read {path}: {reason}") from exc
    kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
    raise ModelUnreadable(f"{path} is {kind}; use the path of a .gguf file")


class Cursor:
    """A read position in a file; `window` contains the file's start and grows on demand."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self.file, self.size, self.path = file, size, path
        self.window, self.position = bytearray(), 0
        self.n_strings = 0  # in arrays, up to now

    def fail(self, reason: str) -> ModelUnreadable:
        return ModelUnreadable(f"{self.path}: {reason}")

    def reach(self, end: int) -> None:
        """Extend the window to `end`.

        Raises:
            ModelUnreadable: `end` is beyond the end of the file or the limit of a header.
        """
        if end <= len(self.window):
            return
        if end > self.size:
            raise self.fail(
                f"truncated: the header does not end within the file ({self.size} bytes)"
            )
        if end > MAX_HEADER_BYTES:
            raise self.fail(f"damaged: the header is larger than {MAX_HEADER_BYTES >> 20} MiB")
        wanted = min(max(end, 2 * len(self.window), _WINDOW), self.size, MAX_HEADER_BYTES)
        while len(self.window) < wanted:
            chunk = self.file.read(wanted - len(self.window))
            if not chunk:
                raise self.fail("truncated while it was being read")
            self.window += chunk

    def number(self, form: struct.Struct) -> int:
        self.reach(self.position + form.size)
        value: int = form.unpack_from(self.window, self.position)[0]
        self.position += form.size
        return value

    def string(self, limit: int, label: str) -> str:
        length = self.number(U64)
        if length > limit:
            raise self.fail(f"damaged: {label} has {length} bytes, limit {limit}")
        self.reach(self.position + length)
        text = bytes(self.window[self.position : self.position + length])
        self.position += length
        return text.decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        """Skip strings. This is the hot loop: 300,000 steps for a vocabulary of 152,000 tokens."""
        position, left, unpack = self.position, count, U64.unpack_from
        while left:
            window = self.window
            try:
                while left:
                    position += 8 + unpack(window, position)[0]
                    left -= 1
            except (struct.error, OverflowError, IndexError):
                self.reach(position + 8)
        self.position = position
        self.reach(position)
