"""`llmtool chat`: chat with a model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import ChatOptions

app = App()


@app.add(
    "chat",
    epilog="""Examples:

\b
  llmtool chat
  llmtool chat -c
  llmtool chat --session recipes -s "You are a cook" "What is for dinner?"
  llmtool chat -f report.pdf "What does it say about costs?"
  printf 'Hello\\nWhat did I say?\\n' | llmtool chat --each line""",
)
def chat(
    console: Console,
    message: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="First message.")
    ] = None,
    *,
    continue_last: Annotated[
        bool, typer.Option("--continue", "-c", help="Continue the last session of this directory.")
    ] = False,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="Start or continue session NAME."),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Do not save the session.")] = False,
    overflow: Annotated[
        Literal["summarize", "drop"],
        typer.Option("--overflow", help="How to make room when the context is full."),
    ] = "summarize",
    options: ChatOptions,
    input: g.InputOptions,
    each: Annotated[
        Literal["line"] | None,
        typer.Option(
            "--each",
            metavar="line",
            help="Send each line of stdin as a message.",
            rich_help_panel="Input",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print events as JSON lines.", rich_help_panel="Output"),
    ] = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Chat with a model, in a terminal or through a pipe.

    In a terminal, the session is saved before and after each reply, and lines that start with a
    slash are commands (/help lists them). Piped input is one message: only the reply is printed,
    and the session is saved only with --session or -c.
    """
    from llmtool.cli.commands.chat import run

    run.chat(
        console,
        message,
        options,
        name=session,
        continue_last=continue_last,
        no_save=no_save,
        overflow=overflow,
        each_line=each is not None,
        json=json,
        input=input,
        model=model,
        general=general,
    )
