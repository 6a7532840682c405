"""Write a result to a file, atomically."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from llmtool.cli.terminal.console import STDERR, STDOUT, BrokenPipe, Console, Sink
from llmtool.cli.terminal.output_target import OutputTarget, find_target
from llmtool.errors import OutputError, UsageError, os_error_reason
from llmtool.temporary import TemporaryFile, default_mode, remove_leftovers

_DESCRIPTOR = re.compile(r"-|/dev/stdout|/dev/stderr|/(?:dev|proc/self)/fd/(\d+)")


def check(
    console: Console, path: str | None, *, reads: Iterable[str] = (), overwrite: bool = False
) -> None:
    """Check that a result file can be written and is not one of the files that are read.

    Without `overwrite`, a file that has content is an error. `open_sink` will replace the file that
    the name leads to now, even if the name leads to another one by then.
    """
    if path is None and overwrite:
        raise UsageError("--overwrite needs an output file; add -o FILE")
    if path is None or _DESCRIPTOR.fullmatch(path):
        return
    console.targets[path] = target = find_target(path, overwrite=overwrite)
    if target.path.is_dir():
        raise OutputError(f"cannot write {path}: is a directory")
    if target.is_special:
        return  # opening a FIFO would unblock its reader
    check_not_read(path, reads)
    check_not_existing(path, overwrite=overwrite)
    FileSink(path, target).discard()


def check_json_name(path: str) -> None:
    """Check that the name of a file does not promise another format than JSON."""
    from llmtool.text.code_languages import language_of_file

    is_text = os.path.splitext(path)[1].lower() in (".csv", ".tsv", ".txt", ".srt", ".vtt", ".po")
    if is_text or language_of_file(path) not in (None, "json"):
        raise UsageError(f"-o {path}: --json writes one JSON document; use the extension .json")


def check_not_read(path: str, reads: Iterable[str]) -> None:
    """Check that a result file is not one that the command reads, even under another name."""
    file = Path(path)
    if file.exists() and any(os.path.isfile(each) and file.samefile(each) for each in reads):
        raise UsageError(f"{path} is also an input; choose another output file")


def check_not_existing(path: str, *, overwrite: bool) -> None:
    """Check that a file has no content that would be lost, unless `overwrite` is set."""
    if not overwrite and os.path.isfile(path) and os.path.getsize(path):
        raise UsageError(f"{path} already exists; use --overwrite to replace it")


@contextlib.contextmanager
def open_sink(console: Console, path: str | None) -> Iterator[Sink]:
    """Yield stdout, or a file, which is created when the block ends without an error."""
    if path is None:
        yield console.stdout
        return
    file = FileSink(path, console.targets.get(path))
    with console.on_abort(file.discard):
        try:
            yield file
            file.close()
            if path in console.targets:  # now it is the file of this command
                console.targets[path] = find_target(path, overwrite=True)
        finally:
            file.discard()


class FileSink(Sink):
    """A result file: a temporary file in the same directory, renamed when complete.

    Anything but a regular file (a FIFO, /dev/stdout, a descriptor) is written directly. `target` is
    the file when it was checked; by default it is found now, and replaced.
    """

    def __init__(self, path: str, target: OutputTarget | None = None) -> None:
        super().__init__()
        self._name = path
        self._target = target or find_target(path, overwrite=True)
        self._temporary: TemporaryFile | None = None
        if path.endswith(("/", os.sep)) and not os.path.isdir(path):
            raise OutputError(f"cannot write {path}: folder not found")
        try:
            self._fd = self._open(path)
        except OSError as exc:
            raise self._error(exc) from exc
        self._is_open = True

    def _open(self, path: str) -> int:
        descriptor = _DESCRIPTOR.fullmatch(path)
        if descriptor:
            number = descriptor[1] or {"/dev/stderr": STDERR}.get(path, STDOUT)
            return os.dup(int(number))
        target = self._target
        if target.is_special:
            fd = os.open(target.path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OutputError(f"{path} was replaced by another program; run the command again")
            return fd
        remove_leftovers(target.path.parent)
        mode = default_mode() if target.mode is None else target.mode & 0o777
        self._temporary = TemporaryFile(target.path, mode=mode)
        return self._temporary.descriptor

    def _write_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            raise BrokenPipe from None
        except OSError as exc:
            raise self._error(exc) from exc

    def close(self) -> None:
        """Complete the file and rename it to its name."""
        self.flush()
        try:
            self._is_open = False
            if self._temporary is not None:
                os.fsync(self._fd)
                self._target.save(self._temporary, self._name)
            else:
                os.close(self._fd)
        except OSError as exc:
            raise self._error(exc) from exc

    def _error(self, exc: OSError) -> OutputError:
        return OutputError(f"cannot write {self._name}: {os_error_reason(exc)}")

    def discard(self) -> None:
        """Remove the file unless it is complete."""
        if self._temporary is not None:
            self._temporary.discard()
        elif self._is_open:
            with contextlib.suppress(OutputError, BrokenPipe):
                self.flush()
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._is_open = False
