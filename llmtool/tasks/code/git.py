"""Read the staged changes of a repository with git, and run nothing else.

The configuration of a repository can name programs (diff drivers, text filters, a file system
monitor). They are disabled, because a repository is not trusted.
"""

from __future__ import annotations

import subprocess

from llmtool.errors import InputError, UsageError
from llmtool.machine import find_program

_STAGED = (
    "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "--no-pager",
    "diff", "--staged", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative",
    "--submodule=short",
    "--unified=3", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_TIMEOUT_SECONDS = 60.0
_NO_REPOSITORY = 129


def staged_diff(folder: str | None = None) -> str:
    """Return the output of `git diff --staged` in a folder, None for the current one.

    Raises:
        UsageError: git is not installed, or the folder is not in a repository.
        InputError: nothing is staged.
    """
    program = find_program("git")
    if program is None:
        raise UsageError("git is not installed, and --staged asks it for the changes")
    try:
        done = subprocess.run(
            (program, *_STAGED),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UsageError(f"git could not be run: {type(exc).__name__}") from exc
    if (
        done.returncode == _NO_REPOSITORY
    ):  # without a repository, git diff compares files and rejects --staged
        raise UsageError("this folder is in no git repository")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        reason = next((line for line in said if line.startswith(("fatal:", "error:"))), said[0])
        raise UsageError(f"git diff --staged: {reason}")
    if not done.stdout.strip():
        raise InputError("nothing is staged (git add FILE stages it)")
    return done.stdout.decode("utf-8", "replace")
