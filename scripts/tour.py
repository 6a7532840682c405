#!/usr/bin/env python3
"""Run the commands that the READMEs and docs/ show, and insert their output.

    .venv/bin/python scripts/tour.py            # about a minute, with the starter model

bash runs each line that begins with `$ ` in a `console` block, in a pseudo-terminal and a copy of
`scripts/tour/`, without the user's settings, at temperature 0. The screen replaces the lines that
follow the command. Tables are drawn for 80 columns; long lines are not broken.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
COLUMNS, LINES = 1000, 200  # wide enough for every line
TOUR = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def main() -> None:
    shown: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "tour")
        shutil.copytree(ROOT / "scripts" / "tour", folder)
        for path in PAGES:
            text = path.read_text(encoding="utf-8")
            for command in tour_commands(text):
                if command not in shown:
                    sys.stderr.write(f"$ {command}\n")
                    shown[command] = run(command, folder)
            path.write_text(with_outputs(text, shown), encoding="utf-8")


def tour_commands(text: str) -> list[str]:
    """Return the commands that a page shows, in their order."""
    blocks = TOUR.findall(text)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def with_outputs(text: str, shown: dict[str, str]) -> str:
    """Return the page with the output of each command."""

    def block(found: re.Match[str]) -> str:
        lines = "\n".join(f"$ {each}\n{shown[each]}" for each in tour_commands(found[0]))
        return f"```console\n{lines}```\n"

    return TOUR.sub(block, text)


def run(command: str, folder: Path) -> str:
    """Return the screen of a terminal after a command."""
    env = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "LLMTOOL_MODEL": "starter",
        "LLMTOOL_TEMPERATURE": "0",
        "TERM": "xterm-256color",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
    }
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child = pexpect.spawn(
        "bash", ["-c", command], env=env, cwd=str(folder), dimensions=(LINES, COLUMNS), timeout=300
    )
    while True:
        try:
            stream.feed(child.read_nonblocking(4096, timeout=300))
        except pexpect.EOF:
            break
    child.close()
    return "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"


if __name__ == "__main__":
    main()
