"""Run the user's tests on generated code.

Nothing else in `llmtool` runs generated code, and this only on request.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.results import TestRun

CODE_FILE = "{}"  # in a command, the placeholder for the file with the code
DEFAULT_SECONDS = 60.0
_MAX_OUTPUT = 4000  # characters, from the end


class TestCommand:
    """A command that tests code, for `write_code(run_tests=...)`.

    `{}` in the command is replaced with the path of a temporary file with the code, called `name`.
    Without `{}`, `write` is called with the code before each run to store it for the tests.
    `interruptible` returns a context in which a signal may end the wait for the command.

    Raises:
        UsageError: the command has no `{}`, and `write` is None.
    """

    __test__ = False  # pytest collects classes named Test*

    def __init__(
        self,
        command: str,
        *,
        name: str = "code",
        write: Callable[[str], None] | None = None,
        timeout_seconds: float = DEFAULT_SECONDS,
        interruptible: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        if CODE_FILE not in command and write is None:
            raise UsageError(
                f"test command {command!r}: must contain {{}}, the file of the code, "
                f"unless {option('output')} names it"
            )
        self.command, self._name, self._write = command, name, write
        self._timeout_seconds, self._interruptible = timeout_seconds, interruptible

    def __call__(self, code: str) -> TestRun:
        """Run the tests on code in the current folder."""
        if CODE_FILE not in self.command:
            assert self._write is not None
            self._write(code)
            return self._run(self.command)
        with tempfile.TemporaryDirectory(prefix="llmtool-") as folder:
            path = Path(folder, self._name)
            path.write_bytes(code.encode("utf-8", "replace"))
            filled = self.command.replace(CODE_FILE, shlex.quote(str(path)))
            return self._run(filled)

    def _run(self, command: str) -> TestRun:
        seconds, interruptible = self._timeout_seconds, self._interruptible
        return run(command, timeout_seconds=seconds, interruptible=interruptible)


def run(
    command: str,
    *,
    timeout_seconds: float,
    interruptible: Callable[[], AbstractContextManager[None]],
) -> TestRun:
    """Run a shell command without input; kill its remaining child processes when it ends."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output_file:
        child = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        exit_code: int | None
        try:
            with interruptible():  # not the start, which would leave a process behind
                exit_code = child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            _kill(child)
        size = output_file.seek(0, os.SEEK_END)
        output_file.seek(max(0, size - 4 * _MAX_OUTPUT))
        output = output_file.read().decode("utf-8", "replace")[-_MAX_OUTPUT:]
    return TestRun(
        command=command,
        exit_code=exit_code,
        output=output,
        seconds=time.monotonic() - started,
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the process group of a child."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
