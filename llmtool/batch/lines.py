"""Lines of bytes from a file or a pipe, in bounded memory and without blocking."""

from __future__ import annotations

import codecs
import os
import select
import stat
from collections.abc import Generator, Iterable, Iterator
from typing import Literal

import msgspec

from llmtool.background import BackgroundCall
from llmtool.encoding import MAX_BYTES, Errors, check_encoding, decode, detect_encoding, too_long
from llmtool.errors import InputError, os_error_reason
from llmtool.file_kinds import find_binary_kind, not_text
from llmtool.option_names import option
from llmtool.sizes import format_bytes

Separator = Literal["LF", "any", "NUL"]

_OPEN_SECONDS = 0.05
_CHUNK_BYTES = 1 << 16
_MAX_LINE_BYTES = 16 * MAX_BYTES  # of a line that is skipped until its end; /dev/zero has none
_BOM_STARTS = (b"\xff", b"\xfe")  # of UTF-16 and UTF-32
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
        encoding: the encoding of the text; None is UTF-8, or UTF-16 if it is detected.
        errors: how to decode invalid bytes.

    Raises:
        InputError: the file does not exist, or cannot be read.
    """

    def __init__(
        self,
        path: str,
        *,
        separator: Separator = "LF",
        encoding: str | None = None,
        errors: Errors = "strict",
    ) -> None:
        self.name = "standard input" if path == "-" else path
        self.n_consumed = 0
        self._path, self._separator, self._errors = path, separator, errors
        self._encoding = None if encoding is None else check_encoding(encoding)
        self._ended = False
        try:
            self.info = os.fstat(0) if path == "-" else os.stat(path)
        except FileNotFoundError as exc:
            raise missing_file(self.name) from exc
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc
        if stat.S_ISDIR(self.info.st_mode):
            raise InputError(f"{self.name} is a directory; use a file")
        if path != "-" and not os.access(path, os.R_OK):
            raise InputError(f"cannot read {self.name}: permission denied")
        self.size_bytes = self.info.st_size if stat.S_ISREG(self.info.st_mode) else None

    def __iter__(self) -> Iterator[Line | None]:
        return self.split_lines(self.chunks())

    def split_lines(self, chunks: Iterable[bytes | None]) -> Iterator[Line | None]:
        """Yield the lines of `chunks`.

        Raises:
            InputError: a line has no end.
        """
        pending: list[bytes] = []  # pieces of an incomplete line
        size, number, offset = 0, 1, 0  # of that line
        for chunk in chunks:
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
            if size > _MAX_LINE_BYTES:
                place, limit = format_place(self.name, number), format_bytes(_MAX_LINE_BYTES)
                raise InputError(f"{place}: no line ending in {limit}; give a file of lines")
            if size // MAX_BYTES > (size - len(rest)) // MAX_BYTES:
                yield None  # lets the caller cancel in the middle of a long line
        if size:  # the last line has no end
            self.n_consumed = offset + size
            yield self._line(pending, number, offset)

    def decode(self, line: Line, *, errors: Errors | None = None) -> str:
        """Return the text of a line with its line ending.

        Raises:
            InputError: the line is not valid in the encoding.
        """
        return decode(
            line.data + line.end,
            source=format_place(self.name, line.number),
            errors=errors or self._errors,
            encoding=self._encoding or "UTF-8",
            offset=line.offset,
        )

    def chunks(self) -> Iterator[bytes | None]:
        """Yield the content in chunks, which do not end within a CRLF.

        In the chunks, a newline is the byte LF: UTF-16 and similar encodings become UTF-8.

        Raises:
            InputError: the file cannot be read, or is not text.
        """
        decoder: codecs.IncrementalDecoder | None = None
        start: bytes | None = b""  # of the content, until its encoding is known
        held = b""  # a CR that may belong to a CRLF
        for data in self._read():
            if data is None:
                yield None
                continue
            if start is not None:
                start += data
                may_be_wide = len(start) == 1 or b"\0" in start or start.startswith(_BOM_STARTS)
                if data and len(start) < 4 and may_be_wide:
                    continue
                decoder = self._make_decoder(start)
                data, start = start, None
            if decoder is not None:
                data = self._recode(decoder, data)
            data = held + data
            held = b"\r" if data.endswith(b"\r") and not self._ended else b""
            if data := data.removesuffix(held):
                yield data

    def _make_decoder(self, start: bytes) -> codecs.IncrementalDecoder | None:
        """Return a decoder for an encoding whose newlines are not single bytes."""
        if kind := find_binary_kind(start):
            raise InputError(f"{self.name} {not_text(kind)}")
        name = self._encoding
        if name is None and self._separator != "NUL":
            name = detect_encoding(start)
        if name is None or "\n".encode(name) == b"\n":
            return None
        self._encoding = None
        return codecs.getincrementaldecoder(name)(self._errors)

    def _recode(self, decoder: codecs.IncrementalDecoder, data: bytes) -> bytes:
        try:
            return decoder.decode(data, final=self._ended).encode("utf-8")
        except UnicodeDecodeError as exc:
            raise InputError(
                f"{self.name}: not {exc.encoding}; pass another {option('encoding')}, or "
                f"{option('errors', 'replace')}"
            ) from exc

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

    def _read(self) -> Iterator[bytes | None]:
        """Yield the content as it is, `None` while a pipe has no data, and b"" at the end."""
        try:
            fd = 0 if self._path == "-" else (yield from self._open())
            try:
                while not self._ended:
                    # On Windows, select supports only sockets.
                    if self.size_bytes is None and os.name != "nt":
                        if not select.select([fd], [], [], 0)[0]:
                            yield None
                            continue
                    data = os.read(fd, _CHUNK_BYTES)
                    self._ended = not data
                    yield data
            finally:
                if fd:
                    os.close(fd)
        except OSError as exc:
            raise InputError(f"cannot read {self.name}: {os_error_reason(exc)}") from exc

    def _open(self) -> Generator[None, None, int]:
        """Open the file; yield `None` while a FIFO has no writer."""
        if not stat.S_ISFIFO(self.info.st_mode):
            return os.open(self._path, os.O_RDONLY)
        opening = BackgroundCall(lambda: os.open(self._path, os.O_RDONLY))
        opening.thread.join(_OPEN_SECONDS)  # a pipe, such as /dev/fd/5, opens at once
        while opening.thread.is_alive():
            yield None
        return opening.result()


def format_place(source: str, line: int) -> str:
    """Return a position for messages: `rows.csv, line 3`."""
    return f"{source}, line {line}"


def missing_file(name: str) -> InputError:
    """Return the error for a file that does not exist, or for a URL instead of a file."""
    if "://" in name:
        return InputError(f"{name}: cannot read a URL here; download it, and pass the file")
    return InputError(f"{name}: no such file")


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
        raise missing_file(path) from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    if len(data) > MAX_BYTES:
        raise too_long(path)
    return data
