"""Run a command in a pseudo-terminal and read its screen.

    with Terminal(["llmtool", "gen", "Hello"], env) as terminal:
        terminal.wait_for("Hello")
        terminal.send("\\x03")
        assert terminal.exit_status == 130

Standard streams are the terminal unless they are redirected to a file, so that a command can be
seen with any mix of the two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fork_server
import pyte


def display(screen: pyte.Screen) -> list[str]:
    """Return the rows without trailing blanks, as `screen.display` in a tenth of its time."""
    cells = range(screen.columns)
    rows = (screen.buffer[y] for y in range(screen.lines))
    return ["".join([row[x].data for x in cells]).rstrip() if row else "" for row in rows]


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
        self._screen.write_process_input = self.send
        self._master, slave = pty.openpty()
        self.resize(columns=columns, lines=lines)
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, slave)
            streams = [
                slave if path is None else opened.enter_context(open(path, mode))
                for path, mode in ((stdin, "rb"), (stdout, "wb"), (stderr, "wb"))
            ]
            self._child = fork_server.start(
                argv, env=env, cwd=cwd, terminal=os.ttyname(slave),
                stdin=streams[0], stdout=streams[1], stderr=streams[2],
            )  # fmt: skip

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, keys: str | bytes) -> None:
        """Type `keys`; `\\x03` is Ctrl-C, `\\x04` Ctrl-D, `\\x1a` Ctrl-Z, `\\r` Enter."""
        time.sleep(0.01)  # the command sets the mode of the terminal after it wrote its prompt
        data = keys.encode() if isinstance(keys, str) else keys
        while data:
            data = data[os.write(self._master, data) :]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def hang_up(self, timeout: float = 10) -> int:
        """Close the terminal like a closed window; return the exit status like `wait`."""
        self._close()
        return self._wait_for_end(timeout)

    def resize(self, *, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self._screen.resize(lines or 24, columns or 80)

    def screen(self) -> list[str]:
        """Return the current rows without trailing blanks."""
        return display(self._screen)

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
        return self._wait_for_end(limit - time.monotonic())

    def _wait_for_end(self, timeout: float) -> int:
        status = self._child.wait(max(timeout, 0.1))
        return status if status >= 0 else 128 - status

    @property
    def exit_status(self) -> int:
        return self.wait()

    def _read(self, timeout: float) -> bool:
        """Process the next output; return False at the end or after the timeout."""
        if not select.select([self._master], [], [], max(timeout, 0))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # no process has the terminal open
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def _close(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
