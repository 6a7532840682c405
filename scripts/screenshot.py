#!/usr/bin/env python3
"""Chat with the starter model in a terminal and draw the screen as SVG.

    .venv/bin/python scripts/screenshot.py > scripts/chat.svg

The conversation is real: typed into a pseudo-terminal, at temperature 0.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

import pexpect
import pyte
from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 84, 24
MESSAGES = [
    "Write a Python function that reverses a string.",
    "What is the capital of Japan?",
    "/tokens",
]
TITLE = "llmtool chat"


def main() -> None:
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    argv = ["-m", "llmtool", "chat", "-m", "starter", "--temperature", "0", "--max-tokens", "150"]
    with tempfile.TemporaryDirectory() as folder:
        names = ("CONFIG", "DATA", "CACHE")
        env = {
            **os.environ,
            **{f"LLMTOOL_{name}_DIR": str(Path(folder, name)) for name in names},
            "TERM": "xterm-256color",
        }
        child = pexpect.spawn(
            sys.executable, [*argv, "--session", "tour"], env=env, dimensions=(LINES, COLUMNS)
        )
        screen.write_process_input = child.send
        raw = b""

        def read_until(n_prompts: int) -> None:
            nonlocal raw
            quiet_since = time.monotonic()
            while raw.count(b"\x1b[?2004h") < n_prompts or time.monotonic() - quiet_since < 0.5:
                try:
                    data = child.read_nonblocking(4096, timeout=0.1)
                except pexpect.TIMEOUT:
                    continue
                raw += data
                stream.feed(data)
                quiet_since = time.monotonic()

        for number, message in enumerate(MESSAGES, 1):
            read_until(number)
            child.send(message + "\r")
        read_until(len(MESSAGES) + 1)
        child.close(force=True)
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for row in range(LINES - 1):  # without the status line: its speed depends on the machine
        console.print(_row(screen.buffer[row]), no_wrap=True, overflow="crop")
    sys.stdout.write(console.export_svg(title=TITLE))


def _row(cells: dict[int, pyte.screens.Char]) -> Text:
    text = Text()
    for column in range(COLUMNS):
        cell = cells[column]
        style = " ".join(
            word
            for word, on in (("bold", cell.bold), ("italic", cell.italics),
                             ("underline", cell.underscore), ("reverse", cell.reverse))
            if on
        )  # fmt: skip
        text.append(cell.data, f"{style} {_color(cell.fg)}".strip() or None)
    text.rstrip()
    return text


def _color(name: str) -> str:
    if name == "default":
        return ""
    if len(name) == 6 and all(digit in "0123456789abcdef" for digit in name):
        return f"#{name}"
    bright = name.startswith("bright")
    plain = {"brown": "yellow"}.get(name.removeprefix("bright"), name.removeprefix("bright"))
    return f"bright_{plain}" if bright else plain


if __name__ == "__main__":
    main()
