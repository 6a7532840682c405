"""Read the staged changes of a repository with git.

The configuration of a repository can name programs to run (diff drivers, text filters, a file
system monitor). They are disabled, because repositories are not trusted. Settings that change the
format of a diff are overridden.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from llmtool.errors import UsageError, os_error_reason
from llmtool.machine import find_program

_STAGED = (
    "-c", "core.fsmonitor=false", "-c", "core.quotePath=false",
    "-c", "diff.suppressBlankEmpty=false", "--no-pager",
    "diff", "--staged", "--patch", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative",
    "--find-renames", "--submodule=short", "--unified=3", "--inter-hunk-context=0",
    "-O/dev/null", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_TIMEOUT_SECONDS = 60.0
_USAGE_ERROR = 129


def staged_diff(folder: str | None = None) -> str:
    """Return the output of `git diff --staged` in a folder, None for the current one.

    Raises:
        UsageError: git is not installed, or the folder is not in a repository.
    """
    return _run(_STAGED, folder=folder, name="diff --staged").decode("utf-8", "replace")


def hooks_folder() -> Path:
    """Return the folder in which git looks for the hooks of the current worktree.

    Raises:
        UsageError: git is not installed, or the current folder is not in a worktree.
    """
    # A relative core.hooksPath is relative to the top folder.
    top = _run(("rev-parse", "--show-toplevel"), folder=None, name="rev-parse")
    root = os.fsdecode(top.removesuffix(b"\n"))
    path = _run(("rev-parse", "--git-path", "hooks"), folder=root, name="rev-parse")
    return Path(root, os.fsdecode(path.removesuffix(b"\n")))


def _run(arguments: Sequence[str], *, folder: str | None, name: str) -> bytes:
    """Return the output of a command of git, called `name` in errors."""
    program = find_program("git")
    if program is None:
        raise UsageError("git not found; install it")
    try:
        done = subprocess.run(
            (program, *arguments),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise UsageError(f"git {name} took more than {_TIMEOUT_SECONDS:.0f} s") from exc
    except OSError as exc:
        raise UsageError(f"cannot run git: {os_error_reason(exc)}") from exc
    if done.returncode == 0:
        return done.stdout
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["unknown error"]
    reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0])
    # Outside a repository, git diff does not know --staged.
    if done.returncode == _USAGE_ERROR or "not a git repository" in reason:
        raise UsageError("not a git repository; change to a folder inside one")
    raise UsageError(f"git {name}: {reason}")
