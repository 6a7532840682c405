"""Read the staged changes of a repository with git.

The configuration of a repository can name programs to run (diff drivers, text filters, a file
system monitor). They are disabled, because repositories are not trusted. Settings that change the
format of a diff are overridden.
"""

from __future__ import annotations

import subprocess

from llmtool.errors import InputError, UsageError
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
        InputError: nothing is staged.
    """
    program = find_program("git")
    if program is None:
        raise UsageError("git not found; install it")
    try:
        done = subprocess.run(
            (program, *_STAGED),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise UsageError(f"git diff --staged took more than {_TIMEOUT_SECONDS:.0f} s") from exc
    except OSError as exc:
        raise UsageError(f"cannot run git: {exc.strerror}") from exc
    if done.returncode == _USAGE_ERROR:  # outside a repository, git diff does not know --staged
        raise UsageError("not a git repository; change to one")
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["unknown error"]
        reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0])
        raise UsageError(f"git diff --staged: {reason}")
    if not done.stdout.strip():
        raise InputError("nothing is staged; stage changes with git add FILE")
    return done.stdout.decode("utf-8", "replace")
