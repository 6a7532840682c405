#!/usr/bin/env python3
"""Run the tour of the READMEs and write down what a terminal shows.

    .venv/bin/python scripts/tour.py            # about a minute, on the starter model

Each line that begins with `$ ` in a block of the kind `console` is run by bash in a
pseudo-terminal, in a folder with copies of `scripts/tour/`, and with settings of its own. What the
terminal then shows takes the place of the lines that follow; tables are drawn for 80 columns, and
long lines stay whole. Blocks that `scripts/manual.py` writes are left alone.
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
READMES = ("README.md", "README.zh-CN.md")
COLUMNS, LINES = 1000, 200  # so wide that no line is broken within a word
TOUR = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def main() -> None:
    shown: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "tour")
        shutil.copytree(ROOT / "scripts" / "tour", folder)
        for name in READMES:
            path = ROOT / name
            text = path.read_text(encoding="utf-8")
            for command in tour_commands(text):
                if command not in shown:
                    sys.stderr.write(f"$ {command}\n")
                    shown[command] = run(command, folder)
            path.write_text(with_outputs(text, shown), encoding="utf-8")


def tour_commands(text: str) -> list[str]:
    """Return the commands of a README's tour, in their order."""
    blocks = TOUR.findall(text)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def with_outputs(text: str, shown: dict[str, str]) -> str:
    """Return the README with what each command of its tour shows."""

    def block(found: re.Match[str]) -> str:
        lines = "\n".join(f"$ {each}\n{shown[each]}" for each in tour_commands(found[0]))
        return f"```console\n{lines}```\n"

    return TOUR.sub(block, text)


def run(command: str, folder: Path) -> str:
    """Return the lines that a terminal shows when a command has ended."""
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
