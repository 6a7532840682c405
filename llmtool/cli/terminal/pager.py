"""Show long output in a pager."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator

from llmtool.cli.terminal.console import BrokenPipe, Console
from llmtool.machine import find_program


@contextlib.contextmanager
def paged(console: Console, *, disabled: bool = False) -> Iterator[None]:
    """Show what the block writes to a terminal in $PAGER, by default less.

    less exits at once if the text fits the screen. Without a pager, the text is written directly.
    """
    command = None if disabled or not console.can_draw else _find_pager()
    if command is None:
        yield
        return
    variables = {"LESS": "FRX", "LV": "-c", **os.environ}  # the defaults of git
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=variables) as process:
        assert process.stdin is not None
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager
        try:
            with contextlib.suppress(BrokenPipe), console.stdout.redirected(process.stdin.fileno()):
                yield
        finally:
            process.stdin.close()
            process.wait()
            signal.signal(signal.SIGINT, previous)


def _find_pager() -> list[str] | None:
    """Return the command of $PAGER, or less; None if it is `cat`, empty or not installed."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        return None
    program = find_program(words[0]) if words and words[0] != "cat" else None
    return [program, *words[1:]] if program else None
