"""Everything the command prints: results on stdout, all else on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

from llmtool.cli.terminal import cells
from llmtool.errors import OutputError

STDIN, STDOUT, STDERR = 0, 1, 2
closed: set[int] = set()  # those of the three that the caller had closed
_color = "auto"
_quiet = False
_has_status = False


class ReaderGone(Exception):
    """Whoever read our standard output has closed it."""


def guard_standard_streams() -> None:
    """Give the numbers 0 to 2 to somebody, so that no file opened later is taken for a stream.

    A closed stdout becomes one that cannot be written, which is an error; a closed stderr
    swallows what it gets; a closed stdin is remembered as such.
    """
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


def configure(*, color: str = "auto", quiet: bool = False) -> None:
    """Set what `--color` and `--quiet` ask for."""
    global _color, _quiet
    _color, _quiet = color, quiet


def is_quiet() -> bool:
    return _quiet


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def use_color(fd: int, environ: Mapping[str, str] | None = None) -> bool:
    """Whether to colour what goes to `fd`.

    Order of precedence: `--color`, NO_COLOR, FORCE_COLOR and CLICOLOR_FORCE, TERM=dumb and
    CLICOLOR=0, then whether it is a terminal. An empty variable counts as unset.
    """
    environ = os.environ if environ is None else environ
    if _color != "auto":
        return _color == "always"
    if environ.get("NO_COLOR"):
        return False
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        if environ.get(name, "") not in ("", "0"):
            return True
    if environ.get("TERM") == "dumb" or environ.get("CLICOLOR") == "0":
        return False
    return is_terminal(fd)


def show_controls(text: str) -> str:
    """Return text that a terminal shows and does not obey.

    Control characters but newline and tab, DEL, C1 controls and bidirectional overrides become
    visible: ESC turns into U+241B, the others into U+2400 + code or <U+XXXX>.

    Example:
        >>> show_controls("a\\x1b[31m")
        'a\\u241b[31m'
    """
    return text.translate(_SHOWN)


_SHOWN: dict[int, str | None] = {code: chr(0x2400 + code) for code in range(0x20)}
_SHOWN |= {0x7F: "\u2421"}
_SHOWN |= {code: f"<U+{code:04X}>" for code in range(0x80, 0xA0)}
_SHOWN |= {
    code: f"<U+{code:04X}>"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
for _allowed in (0x0A, 0x09):
    del _SHOWN[_allowed]


def paint(text: str, style: str) -> str:
    """Return text in a style, which is given by its numbers: `4;31` is underlined and red."""
    return f"\x1b[{style}m{text}\x1b[0m"


class Result:
    """Standard output as text: a pipe gets control characters, a terminal shows them."""

    def __init__(self) -> None:
        self._ends_with_newline = True
        self.is_terminal = is_terminal(STDOUT)
        self._held = ""  # a CR that may be the first half of a line end

    def write(self, text: str, *, style: str = "") -> None:
        """Write text; `style` is the numbers of a terminal's style (`4;31`), for a terminal."""
        if not text:
            return
        self._ends_with_newline = text.endswith("\n")
        if _has_status:
            status("")
        if self.is_terminal:
            text = (self._held + text).replace("\r\n", "\n")
            self._held = "\r" if text.endswith("\r") else ""
            text = show_controls(text.removesuffix("\r"))
            text = paint(text, style) if style else text
        self._write_bytes(text.encode("utf-8", "replace"))

    def _write_bytes(self, data: bytes) -> None:
        write_all(data)

    @property
    def is_mid_line(self) -> bool:
        return not self._ends_with_newline

    def end_line(self) -> None:
        """Write a newline unless the text ends with one."""
        if self._held:
            self._held = ""
            self._write_bytes(show_controls("\r").encode())
        if not self._ends_with_newline:
            self.write("\n")

    def close(self) -> None:
        """Make the result final, where it is a file."""


stdout = Result()


def write_all(data: bytes) -> None:
    """Write bytes to stdout, all of them."""
    from llmtool.cli.terminal import signals

    view = memoryview(data)
    while view:
        try:
            with signals.interruptible():
                view = view[os.write(STDOUT, view) :]
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as exc:
            if exc.errno == errno.EAGAIN:  # a non-blocking pipe that is full
                import select

                with signals.interruptible():
                    select.select([], [STDOUT], [])
                continue
            raise OutputError(f"write error: {exc.strerror}") from exc


def write_json(value: object, sink: Result | None = None) -> None:
    """Write one JSON document and a newline: indented on a terminal, on one line elsewhere."""
    import json

    indent = 2 if sink in (None, stdout) and is_terminal(STDOUT) else None
    (sink or stdout).write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def note(text: str) -> None:
    """Say something on stderr that is no error; `--quiet` leaves it out."""
    if not _quiet:
        _say(f"llmtool: {text}")


def error(text: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    _say(f"llmtool: {' '.join(text.split())}")


def _say(line: str) -> None:
    say(line + "\n")


def say(text: str) -> None:
    """Write text to stderr; a closed or full one changes nothing on stdout."""
    if _has_status:
        status("")
    # File names keep the bytes that are no text in the locale as surrogates.
    data = text.encode("utf-8", "surrogateescape")
    if is_terminal(STDERR):
        data = show_controls(data.decode("utf-8", "replace")).encode()
    with contextlib.suppress(OSError):
        os.write(STDERR, data)


def status(text: str) -> None:
    """Show a passing status on a terminal's last line; an empty text takes it away."""
    global _has_status
    if not (text or _has_status) or _quiet or not is_terminal(STDERR):
        return
    if os.environ.get("TERM") == "dumb":
        return
    _has_status = bool(text)
    with contextlib.suppress(OSError):
        # What is wider than the terminal would go on in a second line, which nothing takes away.
        n_cells = (os.get_terminal_size(STDERR).columns or 80) - 1
        shown = cells.fit(show_controls(re.sub(r"[\r\n\t]", " ", text)), n_cells)
        os.write(STDERR, f"\r\x1b[K{shown}".encode("utf-8", "replace"))


def finish() -> None:
    """Flush what typer printed (help texts), so that a full disk or a closed pipe is noticed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as exc:
        raise OutputError(f"write error: {exc.strerror}") from exc


def leave_line() -> None:
    """End the line that a reply on a terminal was cut in."""
    if stdout.is_mid_line and is_terminal(STDOUT):
        with contextlib.suppress(OSError):
            os.write(STDOUT, b"\n")


def flush_quietly() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def end_by_signal(number: int | None) -> NoReturn:
    """End the way the signal ends a program, so that shell loops stop as well."""
    if number == signal.SIGINT:
        leave_line()
    flush_quietly()
    if number is None or not hasattr(signal, "raise_signal"):
        os._exit(1)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
