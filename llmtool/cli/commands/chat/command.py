"""`llmtool chat`: a conversation."""

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
        str | None, typer.Argument(metavar="[MESSAGE]", help="The first message.")
    ] = None,
    *,
    continue_last: Annotated[
        bool, typer.Option("--continue", "-c", help="Continue this directory's last session.")
    ] = False,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="Start or continue a named session."),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Do not save the session.")] = False,
    overflow: Annotated[
        Literal["summarize", "drop"],
        typer.Option("--overflow", help="What to do with old turns if the context is full."),
    ] = "summarize",
    options: ChatOptions,
    input: g.InputOptions,
    each: Annotated[
        Literal["line"] | None,
        typer.Option(
            "--each",
            help="Take each line of standard input as a message.",
            rich_help_panel="Input",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print events as JSON lines, last the turn.", rich_help_panel="Output"
        ),
    ] = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Converse with a model, at the terminal or through a pipe.

    At a terminal, the session is saved after every turn, and commands start with a slash (/help
    lists them). Standard input from a pipe is one message, and only its reply is printed; such a
    session is saved only under --session.
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
