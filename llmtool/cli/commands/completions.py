"""`llmtool completions`: print or install a shell completion script."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from llmtool import files
from llmtool.cli.framework.app_factory import App
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError

app = App()


@app.add(
    "completions",
    epilog="""Examples:

\b
  llmtool completions bash --install
  llmtool completions zsh > _llmtool""",
)
def completions(
    ctx: typer.Context,
    console: Console,
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
    install: Annotated[
        bool,
        typer.Option("--install", help="Write it to your home folder, for new shells."),
    ] = False,
) -> None:
    """Print a shell completion script, or install it.

    --install writes the script where the shell looks for it, and for bash and zsh adds a line that
    reads it to ~/.bashrc (on macOS, to ~/.bash_profile or the file used instead) or ~/.zshrc.
    """
    from llmtool.cli.framework.completion import script

    text = script(shell, ctx.find_root().command)
    if not install:
        console.stdout.write(text)
        return
    path, rc = _places(shell)
    files.write_atomically(path, text.encode())
    console.stdout.write(f"{path}\n")
    if rc is None or _has_line(rc, line := f". {shlex.quote(str(path))}"):
        console.note("installed; open a new shell to use it")
        return
    files.append(rc, f"\n# Completion of llmtool\n{line}\n".encode())
    console.note(f"installed, and added a line to {rc}; open a new shell to use it")


def _places(shell: str) -> tuple[Path, Path | None]:
    """Return where a shell's script belongs, and the start-up file that has to read it."""
    try:
        home = Path.home()
    except RuntimeError:
        raise UsageError("no home folder; set HOME, or write the script with >") from None
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish" / "completions" / "llmtool.fish", None
    if shell == "zsh":
        start = Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
        return data / "zsh" / "site-functions" / "_llmtool", start
    # A terminal on macOS starts a login shell, which reads the first of these files only.
    login = [home / name for name in (".bash_profile", ".bash_login", ".profile")]
    start = home / ".bashrc"
    if sys.platform == "darwin":
        start = next((path for path in login if path.exists()), login[0])
    return data / "bash-completion" / "completions" / "llmtool", start


def _has_line(path: Path, line: str) -> bool:
    try:
        return line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
