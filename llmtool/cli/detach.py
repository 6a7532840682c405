"""Start a server in the background."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmtool import files
from llmtool.config import Folders
from llmtool.engine.socket import private
from llmtool.engine.socket.protocol import ProtocolError, Status
from llmtool.engine.socket.servers import read_status
from llmtool.errors import ExitCode, LlmtoolError, UsageError, os_error_reason

VARIABLE = "LLMTOOL_DETACHED"  # set in the background process
# `-m` would also import from the current folder.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from llmtool.__main__ import main; main()"
_MAX_LOGS = 10
_POLL_SECONDS = 0.05


def start(folders: Folders, args: Sequence[str], environ: Mapping[str, str]) -> tuple[Status, Path]:
    """Start `llmtool` with arguments in the background; return its status when it is ready.

    Also return its log, which only the user can read.

    Raises:
        UsageError: the system has no private sockets.
        LlmtoolError: the server did not start; the message and the exit code are its own.
    """
    if not private.IS_AVAILABLE:
        raise UsageError(f"--detach: {private.UNAVAILABLE}; run `llmtool serve` in another window")
    log = _make_log(folders.cache / "servers")
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log.open("ab"),
        start_new_session=True,
        env={**environ, VARIABLE: "1"},
    )
    path = folders.sockets / f"{child.pid}.sock"
    try:
        while child.poll() is None:
            with contextlib.suppress(OSError, EOFError, ProtocolError):
                return read_status(path), log
            time.sleep(_POLL_SECONDS)
    except BaseException:
        child.terminate()
        raise
    raise _error(log, child.returncode)


def _make_log(folder: Path) -> Path:
    try:
        files.make_folder(folder)
        old = sorted(folder.glob("*.log"), key=lambda path: path.name)
        for path in old[: 1 - _MAX_LOGS]:
            path.unlink(missing_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as exc:
        raise LlmtoolError(f"cannot write in {folder}: {os_error_reason(exc)}") from exc
    return path


def _error(log: Path, code: int) -> LlmtoolError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    message = lines[-1].removeprefix("llmtool: ")
    error = LlmtoolError(message or f"the server did not start (exit code {code}); see {log}")
    with contextlib.suppress(ValueError):
        error.exit_code = ExitCode(code)
    return error
