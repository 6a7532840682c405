"""Install and remove a prepare-commit-msg hook that writes commit messages."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from llmtool.errors import UsageError
from llmtool.files import write_atomically, write_errors
from llmtool.tasks.code import git

NAME = "prepare-commit-msg"
SAVED_NAME = f"{NAME}.before-llmtool"
_MARK = "# Written by `llmtool code commit`"
# Git passes the file of the message and where the message comes from ("" is an empty one).
_SCRIPT = f"""\
#!/bin/sh
{_MARK}; `llmtool code commit --uninstall-hook` removes it.
# Fills an empty commit message with one from a local model. A message that already has text, such
# as that of -m, --amend or a merge, is unchanged. After an error, the editor opens as usual.
earlier="$(dirname "$0")/{SAVED_NAME}"
if [ -x "$earlier" ]; then "$earlier" "$@" || exit; fi
case "$2" in "" | template) ;; *) exit 0 ;; esac
llmtool=PROGRAM
[ -x "$llmtool" ] || llmtool=$(command -v llmtool) || {{
  echo 'llmtool: command not found;' \\
    'reinstall the hook with `llmtool code commit --install-hook`' >&2
  exit 0
}}
message=$("$llmtool" code commit OPTIONS </dev/null) || exit 0
[ -n "$message" ] || exit 0
{{ printf '%s\\n' "$message"; [ -z "$(head -n 1 "$1")" ] || echo; cat "$1"; }} > "$1.llmtool" &&
  mv "$1.llmtool" "$1" || rm -f "$1.llmtool"
exit 0
"""


def hook_script(program: str, arguments: Sequence[str]) -> str:
    """Return a hook that runs `llmtool code commit` with some arguments.

    `program` is the path of the command. If it is not executable when the hook runs, the hook
    searches `PATH`.
    """
    values = {"PROGRAM": shlex.quote(program), "OPTIONS": shlex.join(arguments)}
    return re.sub("PROGRAM|OPTIONS", lambda match: values[match[0]], _SCRIPT)


def is_own_hook(path: Path) -> bool:
    """Return whether a file is a hook that `hook_script` wrote."""
    try:
        return _MARK.encode() in path.read_bytes()
    except OSError:
        return False


def install_hook(script: str) -> tuple[Path, Path | None]:
    """Install a hook in the repository of the current folder; return its path.

    An earlier hook is renamed, and runs first. The second path is its new name, None without one.

    Raises:
        UsageError: the current folder is not in a repository, or the new name exists.
        OutputError: the hook cannot be written.
    """
    path = _hook_path()
    saved = path.with_name(SAVED_NAME)
    is_replaced = os.path.lexists(path) and not is_own_hook(path)
    with write_errors(str(path)):
        if is_replaced:
            if os.path.lexists(saved):
                raise UsageError(f"{saved} already exists; rename or delete it")
            if path.parent.name == ".husky":  # Husky runs files that are not executable
                path.chmod(path.stat().st_mode | 0o111)
            path.rename(saved)
        try:
            write_atomically(path, os.fsencode(script))
            path.chmod(0o755)
        except BaseException:
            if is_replaced:
                saved.replace(path)
            raise
    return path, saved if os.path.lexists(saved) else None


def uninstall_hook() -> tuple[Path, bool]:
    """Remove an installed hook; return its path and whether an earlier hook was restored.

    Raises:
        UsageError: the repository has no such hook.
        OutputError: the hook cannot be removed.
    """
    path = _hook_path()
    if not os.path.lexists(path):
        raise UsageError(f"{path} not found; the hook is not installed")
    if not is_own_hook(path):
        raise UsageError(f"{path} was not written by llmtool; edit it yourself")
    saved = path.with_name(SAVED_NAME)
    is_restored = os.path.lexists(saved)
    with write_errors(str(path)):
        if is_restored:
            saved.replace(path)
        else:
            path.unlink()
    return path, is_restored


def _hook_path() -> Path:
    """Return the file of the hook. Husky writes `.husky/_`, whose files run those of `.husky`."""
    folder = git.hooks_folder()
    is_husky = folder.name == "_" and folder.parent.name == ".husky"
    return (folder.parent if is_husky else folder) / NAME
