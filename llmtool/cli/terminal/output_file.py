"""A result that goes to a file: there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from llmtool.cli.terminal import console
from llmtool.errors import OutputError, UsageError

_unfinished: set[FileResult] = set()
_DESCRIPTOR = re.compile(r"-|/dev/stdout|/dev/stderr|/(?:dev|proc/self)/fd/(\d+)")


def check(path: str | None, *, reads: Iterable[str] = ()) -> None:
    """Refuse a result file that could not be written, before anything is made for it.

    Raises:
        UsageError: it is one of the files that the command reads.
        OutputError: its folder is not there, or takes no files.
    """
    if path is None or _DESCRIPTOR.fullmatch(path):
        return
    file = Path(path)
    if file.exists() and not file.is_file():
        if file.is_dir():
            raise OutputError(f"{path}: cannot be written: is a directory")
        return  # a FIFO: to open it would tell its reader that something comes
    refuse_read(path, reads)
    FileResult(path).discard()


def refuse_read(path: str, reads: Iterable[str]) -> None:
    """Refuse a result file that is one of those that the command reads, under whatever name.

    Raises:
        UsageError: it is.
    """
    file = Path(path)
    if file.exists() and any(os.path.isfile(each) and file.samefile(each) for each in reads):
        raise UsageError(f"{path}: is read and cannot be written at the same time")


@contextlib.contextmanager
def open_sink(path: str | None) -> Iterator[console.Result]:
    """Give standard output, or the file of that name, which is there when all went well."""
    if path is None:
        yield console.stdout
        return
    file = FileResult(path)
    try:
        yield file
        file.close()
    finally:
        file.discard()


def discard_all() -> None:
    """Leave no part of any result behind, when the process cannot go on."""
    for file in list(_unfinished):
        file.discard()


class FileResult(console.Result):
    """A result file: a temporary file in the same folder, renamed when it is complete.

    What is no file (a FIFO, /dev/stdout, a descriptor) is written to as it is.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.is_terminal = False
        self._path = Path(path)
        self._temporary: str | None = None
        if path.endswith(("/", os.sep)) and not os.path.isdir(path):
            raise OutputError(f"{path}: there is no such folder")
        try:
            self._fd = self._open(path)
        except OSError as exc:
            raise OutputError(f"{path}: cannot be written: {exc.strerror}") from exc
        self._is_open = True
        _unfinished.add(self)

    def _open(self, path: str) -> int:
        descriptor = _DESCRIPTOR.fullmatch(path)
        if descriptor:
            number = descriptor[1] or {"/dev/stderr": console.STDERR}.get(path, console.STDOUT)
            return os.dup(int(number))
        if self._path.exists() and not self._path.is_file():
            return os.open(self._path, os.O_WRONLY)
        import tempfile

        mode = self._path.stat().st_mode & 0o777 if self._path.exists() else _default_mode()
        self._path = Path(os.path.realpath(self._path))
        fd, self._temporary = tempfile.mkstemp(
            dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".part"
        )
        if hasattr(os, "fchmod"):
            os.fchmod(fd, mode)
        return fd

    def _write_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            raise console.ReaderGone from None
        except OSError as exc:
            raise OutputError(f"{self._path}: write error: {exc.strerror}") from exc

    def close(self) -> None:
        """Make the result visible under its name."""
        try:
            if self._temporary:
                os.fsync(self._fd)
                os.replace(self._temporary, self._path)
                self._temporary = None
            self._is_open = False
            os.close(self._fd)
        except OSError as exc:
            raise OutputError(f"{self._path}: write error: {exc.strerror}") from exc

    def discard(self) -> None:
        """Leave no part of a result behind."""
        _unfinished.discard(self)
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError):
                os.close(self._fd)
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
