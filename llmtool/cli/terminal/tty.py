"""The terminal that keys come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llmtool.cli.terminal import console


@contextlib.contextmanager
def silent_keys() -> Iterator[None]:
    """Do not show what is typed meanwhile: it would stand in the middle of what is drawn.

    It is read afterwards; Ctrl-C and Ctrl-Z work as ever.
    """
    try:
        import termios
    except ImportError:  # Windows shows no keys that nobody reads
        yield
        return
    try:
        before = termios.tcgetattr(console.STDIN)
    except termios.error:  # no terminal
        yield
        return
    silent = list(before)
    silent[3] = int(silent[3]) & ~termios.ECHO
    try:
        with contextlib.suppress(termios.error):  # it belongs to another job
            termios.tcsetattr(console.STDIN, termios.TCSANOW, silent)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(console.STDIN, termios.TCSANOW, before)
