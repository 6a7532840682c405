"""The user's tests on written code: the only thing here that runs it, and only when asked to."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmtool.errors import UsageError
from llmtool.tasks.results import TestRun

PLACE = "{}"  # in a command, where the file of the code goes
DEFAULT_SECONDS = 60.0
_MAX_OUTPUT = 4000  # characters, of the end


class TestCommand:
    """A command that tests code, for `write_code(run_tests=...)`.

    `{}` in it stands for a temporary file with the code, called `name`. Without it `write` is
    called with the code before each run, and puts it where the tests find it.

    Raises:
        UsageError: neither is there.
    """

    __test__ = False  # for pytest, which collects what is called Test

    def __init__(
        self,
        command: str,
        *,
        name: str = "code",
        write: Callable[[str], None] | None = None,
        timeout_seconds: float = DEFAULT_SECONDS,
    ) -> None:
        if PLACE not in command and write is None:
            raise UsageError(
                "the tests need to find the code: write {} for its file, or name one with -o"
            )
        self.command, self._name, self._write = command, name, write
        self._timeout_seconds = timeout_seconds

    def __call__(self, code: str) -> TestRun:
        """Run the tests on code, in the current folder, and say what came of it."""
        if PLACE not in self.command:
            assert self._write is not None
            self._write(code)
            return run(self.command, timeout_seconds=self._timeout_seconds)
        with tempfile.TemporaryDirectory(prefix="llmtool-") as folder:
            path = Path(folder, self._name)
            path.write_bytes(code.encode("utf-8", "replace"))
            filled = self.command.replace(PLACE, shlex.quote(str(path)))
            return run(filled, timeout_seconds=self._timeout_seconds)


def run(command: str, *, timeout_seconds: float) -> TestRun:
    """Run a command of the shell with no input; what it started ends with it."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        exit_code: int | None
        try:
            exit_code = child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            _end(child)
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - 4 * _MAX_OUTPUT))
        output = said.read().decode("utf-8", "replace")[-_MAX_OUTPUT:]
    return TestRun(
        command=command,
        exit_code=exit_code,
        output=output,
        seconds=time.monotonic() - started,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop what is left of a child and of those that it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
