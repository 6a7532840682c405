"""What the tests say about a run of the command: how it failed, how a child ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc, /dev/full or a pipe's size")
INFINITE = {"n_ctx": 65536, "printable": True}  # a tiny model whose replies outlast any test


def error_line(result: subprocess.CompletedProcess[bytes], code: int) -> str:
    """Return the one line on stderr of a run that failed with `code`, as every failure has it.

    Standard output is empty, or with `--json` the same error as an object.
    """
    error = result.stderr.decode()
    assert result.returncode == code, f"exit code {result.returncode}: {error[-2000:]}"
    assert error.startswith("llmtool: ") and error.endswith("\n") and error.count("\n") == 1, error
    if "--json" in result.args:
        message = error[len("llmtool: ") : -1]
        assert json.loads(result.stdout) == {"error": message, "exit_code": code}
    else:
        assert result.stdout == b""
    return error[:-1]


def logged_turns(sessions: Sessions) -> tuple[Turn, ...]:
    """Return the replies of `gen` and `run` in a log of one month, the only session."""
    (name,) = sessions.names()
    assert re.fullmatch(r"log-\d{4}-\d\d", name)
    return sessions.load(name).turns


def read_exactly(stream: int, n: int, timeout: float = 30) -> bytes:
    """Read `n` bytes from a pipe whose writer is slow; fail when it ends before."""
    limit = time.monotonic() + timeout
    data = b""
    while len(data) < n and time.monotonic() < limit:
        piece = os.read(stream, n - len(data))
        if not piece:
            break
        data += piece
    assert len(data) == n, f"only {data!r}"
    return data


def wait_until_mapped(process: subprocess.Popen[bytes], name: str, timeout: float = 30) -> None:
    """Wait until a child has a file with `name` in its path in memory (Linux)."""
    limit = time.monotonic() + timeout
    while time.monotonic() < limit:
        assert process.poll() is None, f"ended with {process.returncode} before it mapped {name}"
        if name in Path(f"/proc/{process.pid}/maps").read_text():
            return
        time.sleep(0.001)
    raise AssertionError(f"{name} was not mapped within {timeout} s")


def seconds_to_end(process: subprocess.Popen[bytes], timeout: float = 30) -> float:
    """Return how long a child takes to end from now on."""
    begin = time.monotonic()
    process.wait(timeout)
    return time.monotonic() - begin


LLMTOOL = [sys.executable, "-m", "llmtool"]
# Every command that reads a file, with `in.txt` as its file.
READERS: dict[str, tuple[str, ...]] = {
    "gen": ("gen", "-f", "in.txt"),
    "run": ("run", "gen", "-f", "in.txt"),
    "classify": ("classify", "--label", "a", "--label", "b", "-f", "in.txt"),
    "classify eval": ("classify", "eval", "in.txt"),
    "sum": ("sum", "in.txt"),
    "translate": ("translate", "--to", "fr", "-f", "in.txt"),
    "code": ("code", "sort", "-f", "in.txt"),
    "code explain": ("code", "explain", "in.txt:1"),
    "code review": ("code", "review", "-f", "in.txt"),
    "code fix": ("code", "fix", "in.txt", "-e", "fails"),
    "code complete": ("code", "complete", "in.txt:1"),
    "code tests": ("code", "tests", "in.txt"),
    "a batch": ("gen", "--each", "csv", "-f", "in.txt"),
}
