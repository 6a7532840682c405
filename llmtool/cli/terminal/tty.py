"""Settings of the terminal on standard input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llmtool.cli.terminal.console import STDIN


@contextlib.contextmanager
def disable_echo() -> Iterator[None]:
    """Hide typed keys during the block, where they would garble the output.

    They can be read afterwards. Ctrl-C and Ctrl-Z still work.
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
    try:
        with contextlib.suppress(termios.error):  # the terminal belongs to another job
            termios.tcsetattr(STDIN, termios.TCSANOW, silent)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(STDIN, termios.TCSANOW, before)
