"""Settings of the terminal on standard input."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from llmtool.cli.terminal.console import STDIN, STDOUT

_PASTE_ON, _PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"


@contextlib.contextmanager
def disable_echo(
    on_resume: Callable[[], None] = lambda: None, *, bracketed_paste: bool = False
) -> Iterator[None]:
    """Hide typed keys during the block, where they would garble the output.

    They can be read afterwards. Ctrl-C and Ctrl-Z still work. Ctrl-Z restores the echo before the
    process stops, which dash does not do.

    Args:
        bracketed_paste: whether to mark pasted text, so that it is read as one text.
        on_resume: called in a signal handler when the process continues after Ctrl-Z; by then, the
            shell has changed the settings of the terminal and written to it.
    """
    try:
        import termios
    except ImportError:  # Windows does not echo unread keys
        yield
        return
    try:
        before = termios.tcgetattr(STDIN)
    except termios.error:  # not a terminal
        yield
        return
    silent = list(before)
    silent[3] = int(silent[3]) & ~termios.ECHO

    def set_mode(attributes: list[Any], paste: bytes) -> None:
        with contextlib.suppress(termios.error):  # the terminal belongs to another job
            termios.tcsetattr(STDIN, termios.TCSANOW, attributes)
        if bracketed_paste:
            with contextlib.suppress(OSError):
                os.write(STDOUT, paste)

    def hide() -> None:
        set_mode(silent, _PASTE_ON)

    def resume(_number: int, _frame: FrameType | None) -> None:
        # In the background, changing the terminal would stop the process.
        if os.tcgetpgrp(STDIN) == os.getpgrp():
            hide()
        on_resume()

    def suspend(number: int, _frame: FrameType | None) -> None:
        set_mode(before, _PASTE_OFF)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # returns when the process continues
        signal.signal(number, suspend)

    previous = signal.signal(signal.SIGCONT, resume)
    stop = signal.getsignal(signal.SIGTSTP)
    if stop is signal.SIG_DFL:  # not ignored by a shell without job control
        signal.signal(signal.SIGTSTP, suspend)
    try:
        hide()
        yield
    finally:
        signal.signal(signal.SIGCONT, previous)
        signal.signal(signal.SIGTSTP, stop)
        set_mode(before, _PASTE_OFF)


def discard_input() -> None:
    """Discard typed keys that were not read yet."""
    with contextlib.suppress(ImportError):
        import termios

        with contextlib.suppress(termios.error):  # not a terminal
            termios.tcflush(STDIN, termios.TCIFLUSH)
