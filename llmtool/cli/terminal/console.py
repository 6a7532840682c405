"""Standard streams: results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.text import (
    escape_control_chars,
    escape_foreign_sequences,
    paint,
    shorten_status,
)
from llmtool.cli.terminal.wrap import WordWrap, wrap_message
from llmtool.errors import Cancelled, OutputError, os_error_reason

if TYPE_CHECKING:
    from llmtool.cli.terminal.output_target import OutputTarget

STDIN, STDOUT, STDERR = 0, 1, 2
WAITING = "..."  # a status that a live status replaces
_TICK_SECONDS = 0.2  # between updates of a live status
_ATOMIC_BYTES = 4096  # PIPE_BUF on Linux
_PLAIN_SECONDS = 30.0  # between two lines of `--progress plain`


class BrokenPipe(Exception):
    """The reader of our standard output has closed the pipe."""


def ensure_std_fds() -> frozenset[int]:
    """Open the standard streams that the caller closed, and return their descriptors.

    Otherwise the next file opened would get the descriptor of a stream. Writing to a closed stdout
    is an error; text for a closed stderr is discarded.
    """
    closed = set()
    for fd, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            opened = os.open(os.devnull, flags)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
    for name, fd in (("stdout", STDOUT), ("stderr", STDERR)):
        stream = getattr(sys, name)
        if stream is None:
            stream = os.fdopen(fd, "w", closefd=False)
            setattr(sys, name, stream)
        stream.reconfigure(encoding="utf-8", errors="replace")
    return frozenset(closed)


class Sink:
    """The destination of a result: stdout or a file.

    Each write to a pipe or file ends with a newline, so that processes that share it do not
    interleave within lines. `flush` writes an incomplete line.
    """

    is_terminal = False

    def __init__(self) -> None:
        self._ends_with_newline = True
        self._pending = b""  # an incomplete line

    def write(self, text: str, *, style: str = "") -> None:
        """Write text; on a terminal, in `style`, SGR numbers such as `4;31`."""
        if text:
            self._ends_with_newline = text.endswith("\n")
            self._write_lines(_encode(text))

    def write_words(self, text: str) -> None:
        """Write a part of a text; a terminal shows it wrapped at words."""
        self.write(text)

    def write_bytes(self, data: bytes) -> None:
        """Write content that is not text."""
        self.flush()
        self._write_bytes(data)

    def write_json(self, value: object) -> None:
        """Write a JSON document and a newline: indented on a terminal, else on one line."""
        self.write(to_json(value, indent=2 if self.is_terminal else None) + "\n")

    @property
    def is_mid_line(self) -> bool:
        return not self._ends_with_newline

    def end_line(self) -> None:
        """Write a newline unless the text ends with one."""
        if self.is_mid_line:
            self.write("\n")

    def close(self) -> None:
        """Complete the result; a temporary file is renamed."""
        self.flush()

    def flush(self) -> None:
        """Write the incomplete line, if any."""
        if self._pending:
            self._write_bytes(self._pending)
            self._pending = b""

    def _write_lines(self, data: bytes) -> None:
        """Write the complete lines."""
        lines, rest = _split_lines(self._pending + data)
        if lines:
            self._pending = b""  # nothing follows a write that fails
            self._write_bytes(lines)
        self._pending = rest

    def _write_bytes(self, data: bytes) -> None:
        raise NotImplementedError


class StatusLine:
    """A temporary line at the bottom of the terminal on stderr.

    Hold `lock` to write to the terminal: the line is also drawn by the thread of `live_status`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.text = ""  # what `show` shows, not `show_live`
        self._is_shown = False

    def show(self, text: str) -> None:
        """Replace the line; empty text removes it."""
        with self.lock:
            self.text = text
            self._draw(text)

    def show_live(self, text: str) -> None:
        """Show `text` instead of no text or `WAITING`."""
        if self.text in ("", WAITING):
            self._draw(text or self.text)

    def _draw(self, text: str) -> None:
        if not (text or self._is_shown):
            return
        self._is_shown = bool(text)
        with contextlib.suppress(OSError):
            # A wider line would wrap, and clearing would miss the wrapped part.
            n_cells = (os.get_terminal_size(STDERR).columns or 80) - 1
            line = escape_control_chars(re.sub(r"[\r\n\t]", " ", text))
            line = shorten_status(line, n_cells)
            os.write(STDERR, f"\r\x1b[K{line}".encode("utf-8", "replace"))

    def clear(self) -> None:
        self.show("")


class Stdout(Sink):
    """Standard output; escapes control characters on a terminal, but not in a pipe."""

    def __init__(
        self, status_line: StatusLine, interrupts: Interrupts, *, is_terminal: bool
    ) -> None:
        super().__init__()
        self._status_line, self._interrupts = status_line, interrupts
        self.is_terminal = is_terminal
        self.is_used = self.is_mid_row = False
        self._pending_cr = ""  # a CR that may be the first half of a line ending
        self._words = WordWrap()
        self._fd = STDOUT

    @contextlib.contextmanager
    def redirected(self, fd: int) -> Iterator[None]:
        """Write to another descriptor during the block, as if it were the terminal."""
        self._fd = fd
        try:
            yield
        finally:
            self._fd = STDOUT

    def write(self, text: str, *, style: str = "") -> None:
        if not text:
            return
        self._ends_with_newline = text.endswith("\n")
        if self.is_terminal:
            text = self._escape(text)
            text = paint(text, style) if style else text
            self._words = WordWrap()
        self.write_raw(text)

    def write_words(self, text: str) -> None:
        if not self.is_terminal or os.environ.get("TERM", "dumb") == "dumb":
            self.write(text)
        elif text:
            self._ends_with_newline = text.endswith("\n")
            self.write_raw(self._words.push(self._escape(text), _stdout_size()[0]))

    def _escape(self, text: str) -> str:
        """Return text for a terminal."""
        text = (self._pending_cr + text).replace("\r\n", "\n")
        self._pending_cr = "\r" if text.endswith("\r") else ""
        return escape_control_chars(text.removesuffix("\r"))

    def write_raw(self, text: str) -> None:
        """Write rendered text, with its styles; a terminal gets other sequences escaped."""
        self._write(escape_foreign_sequences(text) if self.is_terminal else text)

    def copy(self, encoded: str) -> None:
        """Send base64 text to the clipboard of the terminal (OSC 52)."""
        self._write(f"\x1b]52;c;{encoded}\x07")

    def _write(self, text: str) -> None:
        with self._status_line.lock:
            self.is_used = True
            self._status_line.clear()
            if self.is_terminal:
                self.is_mid_row = not text.endswith("\n")
                self._write_bytes(text.encode("utf-8", "replace"))
                return
            self._pending += _encode(text)
            self._interrupts.check()  # `break_line` then writes the text
            self._write_lines(b"")
        if self._pending:
            self._check_reader()

    def end_line(self) -> None:
        if self._pending_cr:
            self._pending_cr = ""
            self.write_raw(escape_control_chars("\r"))
        super().end_line()

    def write_if_unused(self, text: str) -> None:
        """Write text unless there was output, even after a stop signal; ignore errors."""
        if not self.is_used:
            self._status_line.clear()
            self._write_last(_encode(text))

    def flush_quietly(self) -> None:
        """Write the incomplete line; on an error, it stays pending."""
        with contextlib.suppress(OutputError, BrokenPipe, Cancelled):
            self.flush()

    def break_line(self) -> None:
        """End the line of an interrupted reply, even after a stop signal; ignore errors."""
        if self.is_mid_line:
            self._write_last(self._pending + b"\n")
            self._pending, self._ends_with_newline = b"", True

    def _write_last(self, data: bytes) -> None:
        """Write the end of the output, even after a stop signal; ignore errors."""
        import select

        with contextlib.suppress(OSError):
            # A full pipe would block. On Windows, select accepts only sockets.
            while data and (sys.platform == "win32" or select.select([], [STDOUT], [], 0)[1]):
                data = data[os.write(STDOUT, data[:_ATOMIC_BYTES]) :]

    def _check_reader(self) -> None:
        """Raise `BrokenPipe` if the reader has closed the pipe: a write could be far away."""
        import select

        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(STDOUT, 0)  # errors only
            if any(events & select.POLLERR for _, events in poll.poll(0)):
                raise BrokenPipe

    def _write_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                with self._interrupts.interruptible():
                    view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                raise BrokenPipe from None
            except OSError as exc:
                if exc.errno != errno.EAGAIN:
                    raise _stdout_error(exc) from exc
                import select  # only needed for a full non-blocking pipe

                with self._interrupts.interruptible():
                    select.select([], [STDOUT], [])


class Console:
    """The standard streams of the process.

    The command line creates one at start-up and passes it to all code that reads or writes.

    Args:
        interrupts: the signals that may interrupt a blocking read or write.
        closed: the descriptors that the caller had closed; see `ensure_std_fds`.
        clock: returns monotonic seconds.

    Attributes:
        resources: what commands opened, such as models; `close` frees it, and so does process exit.
        targets: the output files that were checked, by name.
    """

    def __init__(
        self,
        interrupts: Interrupts,
        *,
        closed: frozenset[int] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interrupts = interrupts
        self.stdin_is_closed = STDIN in closed
        self.stdin_is_terminal = _is_terminal(STDIN)
        self.stderr_is_terminal = _is_terminal(STDERR)
        self.quiet = False
        self.progress = "auto"
        self._clock, self._logged = clock, clock()
        self._color = "auto"
        self._describe: Callable[[], str] | None = None
        self._pending = b""  # an incomplete line for a stderr that is not a terminal
        self._status_line = StatusLine()
        self._cleanups: set[Callable[[], object]] = set()
        self.resources = contextlib.ExitStack()
        self.targets: dict[str, OutputTarget] = {}
        self.stdout = Stdout(self._status_line, interrupts, is_terminal=_is_terminal(STDOUT))

    def configure(
        self, *, color: str = "auto", quiet: bool = False, progress: str = "auto"
    ) -> None:
        """Apply `--color`, `--quiet` and `--progress`."""
        self._color, self.quiet, self.progress = color, quiet, progress

    @property
    def can_ask(self) -> bool:
        """Whether a user can answer a question at the terminal."""
        return not self.quiet and self.stdin_is_terminal and self.stderr_is_terminal

    @property
    def can_draw(self) -> bool:
        """Whether stdout is a terminal that can move the cursor."""
        return self.stdout.is_terminal and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def stdout_color(self) -> bool:
        """Whether to colour stdout."""
        return self._use_color(is_terminal=self.stdout.is_terminal)

    @property
    def stderr_color(self) -> bool:
        """Whether to colour stderr."""
        return self._use_color(is_terminal=self.stderr_is_terminal)

    def _use_color(self, *, is_terminal: bool) -> bool:
        """Return whether to use colour.

        In order of precedence: `--color`, NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, TERM=dumb or
        CLICOLOR=0, and whether the stream is a terminal. An empty variable counts as unset.
        """
        if self._color != "auto":
            return self._color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
            if os.environ.get(name, "") not in ("", "0"):
                return True
        if os.environ.get("TERM") == "dumb" or os.environ.get("CLICOLOR") == "0":
            return False
        return is_terminal

    @property
    def width(self) -> int:
        """The width of stdout in columns: $COLUMNS, that of the terminal, or 80."""
        columns = os.environ.get("COLUMNS", "")
        return int(columns) if columns.isdigit() and int(columns) > 0 else self.size[0]

    @property
    def size(self) -> tuple[int, int]:
        """The columns and lines of the terminal on stdout."""
        return _stdout_size()

    def read(self, n_bytes: int) -> bytes:
        """Read at most `n_bytes` from stdin; return empty bytes at its end.

        Raises:
            Cancelled: a signal interrupted the wait.
        """
        self._flush_lines()
        with self.interrupts.interruptible():
            return os.read(STDIN, n_bytes)

    def wait_for_input(self, seconds: float | None = None) -> bool:
        """Wait at most `seconds` for input on stdin; return whether there is any.

        Raises:
            Cancelled: a signal interrupted the wait.
        """
        import select

        self._flush_lines()
        with self.interrupts.interruptible():
            return bool(select.select([STDIN], [], [], seconds)[0])

    def note(self, text: str) -> None:
        """Write a message to stderr, unless `--quiet` is set; wrapped at words on a terminal."""
        if not self.quiet:
            self._say_message(text, is_wrapped=True)

    def error(self, text: str, *, is_wrapped: bool = False) -> None:
        """Write an error to stderr, on one line or, on a terminal, wrapped at words."""
        self._say_message(" ".join(text.split()), is_wrapped=is_wrapped)

    def _say_message(self, text: str, *, is_wrapped: bool) -> None:
        message = f"llmtool: {text}"
        if is_wrapped and self.stderr_is_terminal:
            with contextlib.suppress(OSError):
                columns = os.get_terminal_size(STDERR).columns or 80
                message = wrap_message(escape_control_chars(message), columns)
        self.say(message + "\n")

    def say(self, text: str) -> None:
        """Write text to stderr; ignore write errors."""
        with self._status_line.lock:
            self._status_line.clear()
            self.stdout.flush_quietly()  # both streams may be the same file
            # File names may contain surrogates for bytes that the locale cannot decode.
            data = text.encode("utf-8", "surrogateescape")
            if self.stderr_is_terminal:
                data = escape_control_chars(data.decode("utf-8", "replace")).encode()
            else:
                data, self._pending = _split_lines(self._pending + data)
            self._write_stderr(data)

    def _flush_lines(self) -> None:
        """Write the incomplete lines of both streams."""
        pending, self._pending = self._pending, b""
        self._write_stderr(pending)
        self.stdout.flush()

    def _write_stderr(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(STDERR, data)

    def status(self, text: str, *, is_last: bool = False) -> None:
        """Show a temporary status on the terminal's last line; empty text removes it.

        With `--progress plain`, it is a line of its own, at most every 30 seconds unless `is_last`.
        """
        if self._logs_status:
            self._log(text, is_last=is_last)
        elif self._draws_status:
            self._status_line.show(text)

    @property
    def _logs_status(self) -> bool:
        return self.progress == "plain" and not self.quiet

    @property
    def _draws_status(self) -> bool:
        is_allowed = self.progress == "auto" and not self.quiet
        return is_allowed and self.stderr_is_terminal and os.environ.get("TERM") != "dumb"

    def _log(self, text: str, *, is_last: bool = False) -> None:
        now = self._clock()
        if text and (is_last or now - self._logged >= _PLAIN_SECONDS):
            self._logged = now
            self.note(text)

    @contextlib.contextmanager
    def live_status(self, describe: Callable[[], str]) -> Iterator[None]:
        """Update the status from a thread during the block, while the main thread is busy.

        It shows what `describe` returns, unless `status` shows a text. If that is empty, it shows
        the status of the block around this one.
        """
        if not (self._logs_status or self._draws_status):
            yield
            return
        done, before = threading.Event(), self._describe
        self._describe = describe if before is None else lambda: describe() or before()

        def watch() -> None:
            while not done.wait(_TICK_SECONDS):
                self.tick()

        if before is None:
            threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()
            with self._status_line.lock:
                self._describe = before
                self._status_line.show_live("")

    def tick(self) -> None:
        """Update the live status, unless a line of output on the terminal is incomplete."""
        with self._status_line.lock:
            if self._describe is None or self.stdout.is_mid_row:
                return
            text = self._describe()
            if self._logs_status:
                self._log(text)
            elif self._draws_status:
                self._status_line.show_live(text)

    def end_live_status(self) -> None:
        """Remove the live status for good."""
        with self._status_line.lock:
            self._describe = None
            self._status_line.show_live("")

    @contextlib.contextmanager
    def on_abort(self, cleanup: Callable[[], object]) -> Iterator[None]:
        """Let `run_cleanups` call `cleanup` during the block."""
        self._cleanups.add(cleanup)
        try:
            yield
        finally:
            self._cleanups.discard(cleanup)

    def run_cleanups(self) -> None:
        """Run the clean-up functions when the process ends without unwinding its stack."""
        for cleanup in list(self._cleanups):
            cleanup()

    def close(self) -> None:
        """Free the resources that commands opened, such as models."""
        self.resources.close()

    def flush(self) -> None:
        """Flush the last line, and text that Typer printed, such as help.

        Raises:
            BrokenPipe: the pipe is closed.
            OutputError: writing failed, for example on a full disk.
        """
        self.stdout.flush()
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise BrokenPipe from None
        except OSError as exc:
            raise _stdout_error(exc) from exc

    def flush_quietly(self) -> None:
        """Flush both streams and ignore errors; remove the status."""
        self.end_live_status()
        with contextlib.suppress(OutputError, BrokenPipe, Cancelled):
            self._flush_lines()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON, by default on one line without spaces.

    Bytes of file names that are not UTF-8 are escaped: `\\udce9`.
    """
    import json

    separators = (",", ":" if indent is None else ": ")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return text.encode("utf-8", "backslashreplace").decode()


def _encode(text: str) -> bytes:
    """Encode as UTF-8, with the original bytes of file names; replace other surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _split_lines(data: bytes) -> tuple[bytes, bytes]:
    """Return the complete lines and the rest; a line too long for an atomic write is complete."""
    end = data.rfind(b"\n") + 1 if len(data) < _ATOMIC_BYTES else len(data)
    return data[:end], data[end:]


def _stdout_error(exc: OSError) -> OutputError:
    return OutputError(f"cannot write to standard output: {os_error_reason(exc)}")


def _stdout_size() -> tuple[int, int]:
    """Return the columns and lines of the terminal on stdout."""
    try:
        size = os.get_terminal_size(STDOUT)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
