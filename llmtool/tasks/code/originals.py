"""Copies of files that generated code replaces."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from llmtool.errors import LlmtoolError, OutputError, os_error_reason

# Waits for the end of the parent. If it was killed, restores the file, or removes a partial copy.
_RESTORE = """
import os, sys
path, copy = sys.argv[1:]
said = sys.stdin.buffer.read()
try:
    if said == b"ready":
        os.replace(copy, path) if copy else os.unlink(path)
    elif not said and copy:
        os.unlink(copy)
except FileNotFoundError:
    pass
"""


class Original:
    """The original of a file that generated code replaces during tests.

    It is saved as FILE.*.orig. Call `restore` or `drop` in the end; if this process is killed
    before, a child process restores the file, or removes it if it is new.

    Raises:
        OutputError: the copy cannot be written.
        LlmtoolError: the child process cannot be started.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy = (
            path.with_name(f"{path.name}.{os.urandom(4).hex()}.orig") if path.exists() else None
        )
        try:
            # It is started before the copy is made, so that it can remove a partial one.
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _RESTORE, path, self._copy or ""],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a signal to the process group does not end it
            )
        except OSError as exc:
            reason = os_error_reason(exc)
            raise LlmtoolError(f"cannot start a process that restores {path}: {reason}") from exc
        try:
            if self._copy is not None:
                _copy(path, self._copy)
        except OSError as exc:
            self._end_child()
            raise OutputError(f"cannot write {self._copy}: {os_error_reason(exc)}") from exc
        except BaseException:
            self._end_child(b"")
            raise
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # it was killed
            os.write(self._child.stdin.fileno(), b"ready")

    def restore(self) -> None:
        """Give the file its original content, or remove it if it is new.

        Raises:
            OutputError: it cannot be changed.
        """
        try:
            if self._copy is None:
                self._path.unlink(missing_ok=True)
            else:
                os.replace(self._copy, self._path)
        except OSError as exc:
            saved = f"; the original is saved as {self._copy}" if self._copy else ""
            reason = os_error_reason(exc)
            raise OutputError(f"cannot restore {self._path}: {reason}{saved}") from exc
        finally:
            self._end_child()

    def drop(self) -> None:
        """Remove the copy; the file remains as it is."""
        if self._copy is not None:
            with contextlib.suppress(OSError):
                self._copy.unlink()
        self._end_child()

    def _end_child(self, said: bytes = b"done") -> None:
        with contextlib.suppress(OSError):  # it was killed
            self._child.communicate(said)


def back_up(path: Path) -> Path:
    """Copy a file to a new name in its folder, and return the path of the copy.

    Raises:
        OutputError: the copy cannot be written.
    """
    for number in range(1, 1000):
        copy = path.with_name(f"{path.name}.orig{'' if number == 1 else number}")
        try:
            _copy(path, copy)
        except FileExistsError:
            continue
        except OSError as exc:
            raise OutputError(f"cannot write {copy}: {os_error_reason(exc)}") from exc
        return copy
    raise OutputError(f"cannot back up {path}: 999 copies exist; delete some")


def _copy(path: Path, copy: Path) -> None:
    """Copy a file to a new one, with its mode and times; an error leaves no copy."""
    with open(copy, "xb") as file, open(path, "rb") as original:
        try:
            shutil.copyfileobj(original, file)
            file.flush()
            os.fsync(file.fileno())
            shutil.copystat(path, copy)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
