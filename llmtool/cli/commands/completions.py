"""`llmtool completions`: print the completion script of a shell."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.terminal.console import Console

app = new_app()


class Shell(Enum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command(
    "completions",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool completions bash >~/.local/share/bash-completion/completions/llmtool""",
)
def completions(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell."""
    from llmtool.cli.framework.completion import script

    console: Console = ctx.obj
    console.stdout.write(script(shell.value, ctx.find_root().command))
