"""Format code with the installed formatter of its language, and ignore failures.

The formatter runs in an empty folder without configuration files, because a configuration of
prettier can run code.
"""

from __future__ import annotations

import subprocess
import tempfile

from llmtool.machine import find_program

_TIMEOUT_SECONDS = 10.0

_PRETTIER = ("prettier", "--no-config", "--no-editorconfig", "--stdin-filepath")
_CLANG = ("clang-format", "--style=LLVM")
# Commands that read code from standard input and write it to standard output.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "python": ("ruff", "format", "--isolated", "--no-cache", "--quiet", "-"),
    "go": ("gofmt",),
    "rust": ("rustfmt", "--emit", "stdout", "--edition", "2021", "--quiet"),
    "bash": ("shfmt", "-"),
    "c": (*_CLANG, "--assume-filename=code.c"),
    "cpp": (*_CLANG, "--assume-filename=code.cpp"),
    "java": (*_CLANG, "--assume-filename=code.java"),
    "javascript": (*_PRETTIER, "code.js"),
    "typescript": (*_PRETTIER, "code.ts"),
    "tsx": (*_PRETTIER, "code.tsx"),
    "css": (*_PRETTIER, "code.css"),
    "html": (*_PRETTIER, "code.html"),
    "json": (*_PRETTIER, "code.json"),
    "yaml": (*_PRETTIER, "code.yaml"),
}


def format_code(
    language: str, code: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> tuple[str, str] | None:
    """Return the formatted code and the name of the formatter, None if it is missing or fails.

    The caller checks the syntax of the result.
    """
    command = _COMMANDS.get(language)
    program = find_program(command[0]) if command else None
    if command is None or program is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="llmtool-") as folder:
            done = subprocess.run(
                [program, *command[1:]],
                input=code.encode("utf-8", "replace"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                timeout=timeout_seconds,
                check=False,
            )
        formatted = done.stdout.decode()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    if done.returncode or not formatted.strip():
        return None
    return formatted, command[0]
