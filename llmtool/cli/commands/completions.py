"""`llmtool completions`: print a shell completion script."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.terminal.console import Console

app = App()


@app.add(
    "completions",
    epilog="""Example:

\b
  llmtool completions bash > ~/.local/share/bash-completion/completions/llmtool""",
)
def completions(
    ctx: typer.Context,
    console: Console,
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
) -> None:
    """Print a shell completion script."""
    from llmtool.cli.framework.completion import script

    console.stdout.write(script(shell, ctx.find_root().command))
