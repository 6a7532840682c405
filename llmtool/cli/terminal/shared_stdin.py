"""Detect whether the calling shell reads our standard input line by line.

In `while read -r line; do llmtool gen "…$line"; done` the command inherits the loop's input and
would consume its lines. In `cat notes | { llmtool gen "…"; }` or in a script it also inherits its
input, but should read it. The difference is whether the shell itself reads that input.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "yash", "busybox"}
_READS = re.compile(r"(?<![\w-])(read|readarray|mapfile)(?![\w-])")
_MAX_ANCESTORS = 8
_SCRIPT_BYTES = 1 << 16


def is_shared(stdin: int) -> bool:
    """Whether another process has begun to read `stdin`, a file descriptor.

    A file is shared if its position is not the start. A pipe is shared if a shell among our
    ancestors has the same standard input and reads from it: its script contains `read`, or it has
    made one-byte read calls since it was forked. Only Linux exposes this.
    """
    mode = os.fstat(stdin).st_mode
    if stat.S_ISREG(mode):
        return os.lseek(stdin, 0, os.SEEK_CUR) > 0
    if not stat.S_ISFIFO(mode) or not sys.platform.startswith("linux"):
        return False
    try:
        ours = os.readlink(f"/proc/self/fd/{stdin}")
        process = os.getppid()
        for _ in range(_MAX_ANCESTORS):
            if process <= 1 or os.readlink(f"/proc/{process}/fd/0") != ours:
                return False
            if _is_reading_shell(Path(f"/proc/{process}")):
                return True
            process = int((Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1]).split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return False


def _is_reading_shell(process: Path) -> bool:
    words = process.joinpath("cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
    if not words or os.path.basename(words[0]).lstrip("-") not in _SHELLS:
        return False
    script = _script(process, words[1:])
    if script is not None and _READS.search(script):
        return True
    # A process's counters include those of its children; the counters of its thread do not.
    thread = process / "task" / process.name / "io"
    counters = dict(line.split(": ") for line in thread.read_text().splitlines())
    calls, size = int(counters["syscr"]), int(counters["rchar"])
    if script is None:
        # One call may read from the shell's own pipe between parent and child.
        return calls > 1
    # The loop may be in a file that the script sources. A subshell's counters start at 0, and
    # `read` reads one byte per call; a shell that was executed has also read its libraries.
    return calls == size > 0


def _script(process: Path, arguments: list[str]) -> str | None:
    """Return the script that a shell runs; None for an interactive shell."""
    for index, word in enumerate(arguments):
        if word.startswith("-") and not word.startswith("--"):
            if "c" in word:
                return " ".join(arguments[index + 1 :])
        elif not word.startswith("--"):
            path = process / "cwd" / word
            with path.open("rb") as file:
                return file.read(_SCRIPT_BYTES).decode("utf-8", "replace")
    return None
