"""Run a command in a pseudo-terminal and read its screen.

    with Terminal(["llmtool", "gen", "Hello"], env) as terminal:
        terminal.wait_for("Hello")
        terminal.send("\\x03")
        assert terminal.exit_status == 130

Standard streams are the terminal unless they are redirected to a file, so that a command can be
seen with any mix of the two.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte


class Terminal:
    """A child process on a pseudo-terminal and its screen."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        env: Mapping[str, str],
        *,
        columns: int = 80,
        lines: int = 24,
        cwd: Path | None = None,
        stdin: Path | None = None,
        stdout: Path | None = None,
        stderr: Path | None = None,
    ) -> None:
        self.raw = b""
        self._screen = pyte.Screen(columns or 80, lines or 24)
        self._stream = pyte.ByteStream(self._screen)
        # A terminal answers cursor position requests.
        self._screen.write_process_input = lambda data: self._child.send(data)
        self._child = pexpect.spawn(
            "/bin/sh",
            ["-c", _redirected(stdin, stdout, stderr), "sh", *map(str, argv)],
            env=dict(env),
            cwd=cwd,
            dimensions=(lines, columns),
            timeout=None,
        )
        self._child.delaybeforesend = self._child.ptyproc.delayafterclose = 0.01  # not 0.05, 0.1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._child.close(force=True)

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def send(self, keys: str | bytes) -> None:
        """Type `keys`; `\\x03` is Ctrl-C, `\\x04` Ctrl-D, `\\x1a` Ctrl-Z, `\\r` Enter."""
        self._child.send(keys)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def hang_up(self, timeout: float = 10) -> int:
        """Close the terminal like a closed window; return the exit status like `wait`."""
        process = self._child.ptyproc
        process.fileobj.close()
        process.closed = self._child.closed = True
        try:
            return self._wait_for_end(time.monotonic() + timeout, timeout)
        finally:
            process.terminate(force=True)

    def resize(self, *, columns: int, lines: int) -> None:
        self._child.setwinsize(lines, columns)
        self._screen.resize(lines, columns)

    def screen(self) -> list[str]:
        """Return the current rows without trailing blanks."""
        return [row.rstrip() for row in self._screen.display]

    def wait_for(self, text: str, timeout: float = 20) -> None:
        """Read until `text` was written or is on the screen; on failure show the screen."""

        def seen() -> bool:
            return text in self.raw.decode(errors="replace") or text in "\n".join(self.screen())

        self.wait_until(seen, timeout, what=repr(text))

    def wait_until(
        self, condition: Callable[[], bool], timeout: float = 20, *, what: str = "change"
    ) -> None:
        """Read until `condition` is true."""
        limit = time.monotonic() + timeout
        while not condition():
            if not self._read(limit - time.monotonic()):
                shown = "\n".join(row for row in self.screen() if row)
                raise AssertionError(f"no {what} within {timeout} s; on the screen:\n{shown}")

    def wait(self, timeout: float = 30) -> int:
        """Read to the end and return the exit status as in a shell (130 for SIGINT)."""
        limit = time.monotonic() + timeout
        while self._read(limit - time.monotonic()):
            pass
        return self._wait_for_end(limit, timeout)

    def _wait_for_end(self, limit: float, timeout: float) -> int:
        while self._child.isalive():
            if time.monotonic() > limit:
                raise AssertionError(f"still running after {timeout} s")
            time.sleep(0.005)
        status = self._child.exitstatus
        return 128 + int(self._child.signalstatus) if status is None else int(status)

    @property
    def exit_status(self) -> int:
        return self.wait()

    def _read(self, timeout: float) -> bool:
        """Process the next output; return False at the end or after the timeout."""
        try:
            data = self._child.read_nonblocking(4096, timeout=max(timeout, 0))
        except (pexpect.EOF, pexpect.TIMEOUT):
            return False
        self.raw += data
        self._stream.feed(data)
        return True


def _redirected(stdin: Path | None, stdout: Path | None, stderr: Path | None) -> str:
    """Return the shell line that runs the command with redirected streams."""
    words = ['exec "$@"']
    for sign, path in (("<", stdin), (">", stdout), ("2>", stderr)):
        if path is not None:
            words.append(f"{sign} '{path}'")
    return " ".join(words)
