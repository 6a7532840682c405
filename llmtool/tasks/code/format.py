"""Format code with the installed formatter of its language, and ignore failures.

The formatter runs in an empty folder without configuration files, because a configuration of
prettier can run code.
"""

from __future__ import annotations

import subprocess
import tempfile

from llmtool.machine import find_program
from llmtool.text.code_languages import CodeLanguage

_TIMEOUT_SECONDS = 10.0

_PRETTIER = ("prettier", "--no-config", "--no-editorconfig", "--stdin-filepath")
_CLANG = ("clang-format", "--style=LLVM")
# Commands that read code from standard input and write it to standard output.
_COMMANDS: dict[CodeLanguage, tuple[str, ...]] = {
    CodeLanguage.python: ("ruff", "format", "--isolated", "--no-cache", "--quiet", "-"),
    CodeLanguage.go: ("gofmt",),
    CodeLanguage.rust: ("rustfmt", "--emit", "stdout", "--edition", "2021", "--quiet"),
    CodeLanguage.bash: ("shfmt", "-"),
    CodeLanguage.c: (*_CLANG, "--assume-filename=code.c"),
    CodeLanguage.cpp: (*_CLANG, "--assume-filename=code.cpp"),
    CodeLanguage.java: (*_CLANG, "--assume-filename=code.java"),
    CodeLanguage.javascript: (*_PRETTIER, "code.js"),
    CodeLanguage.typescript: (*_PRETTIER, "code.ts"),
    CodeLanguage.tsx: (*_PRETTIER, "code.tsx"),
    CodeLanguage.css: (*_PRETTIER, "code.css"),
    CodeLanguage.html: (*_PRETTIER, "code.html"),
    CodeLanguage.json: (*_PRETTIER, "code.json"),
    CodeLanguage.yaml: (*_PRETTIER, "code.yaml"),
}


def format_code(
    language: CodeLanguage, code: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
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
