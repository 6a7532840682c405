"""`llmtool chat`: a conversation."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app()


class Overflow(Enum):
    summarize = "summarize"
    drop = "drop"


class Each(Enum):
    line = "line"


@app.command(
    "chat",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool chat
  llmtool chat -c
  llmtool chat --session recipes -s "You are a cook" "What is for dinner?"
  llmtool chat -f report.pdf "What does it say about costs?"
  printf 'Hello\\nWhat did I say?\\n' | llmtool chat --each line""",
)
@g.grouped
def chat(
    ctx: typer.Context,
    *,
    message: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="What to say first.")
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="Begin this session, or go on with it."),
    ] = None,
    continue_last: Annotated[
        bool,
        typer.Option("--continue", "-c", help="Go on with the last session of this directory."),
    ] = False,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Keep nothing of this conversation.")
    ] = False,
    system: o.SystemOption = None,
    template: Annotated[
        str | None,
        typer.Option("--template", "-t", metavar="NAME|PATH", help="The prompt template."),
    ] = None,
    param: o.ParamOption = None,
    overflow: Annotated[
        Overflow,
        typer.Option("--overflow", help="What becomes of the oldest turns in a full context."),
    ] = Overflow.summarize,
    each: Annotated[
        Each | None,
        typer.Option("--each", help="Every line of standard input is a message of its own."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON lines; the last is the turn.")
    ] = False,
    think: Annotated[
        bool | None,
        typer.Option("--think/--no-think", help="Let a thinking model think; it is folded away."),
    ] = None,
    source: g.SourceGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Converse with a model, at the terminal or through a pipe.

    At a terminal the conversation is kept after every turn, and commands begin with a slash (/help
    lists them). Standard input that is no terminal is one message, and its reply is all that is
    printed; nothing of it is kept unless --session names it.
    """
    from llmtool.cli.commands.chat import run

    console: Console = ctx.obj
    run.chat(
        console,
        message,
        system=system,
        template=template,
        param=param,
        name=session,
        continue_last=continue_last,
        no_save=no_save,
        overflow=overflow.value,
        each_line=each is not None,
        json=json,
        think=think,
        source=source,
        sampling=sampling,
        engine=engine,
        common=common,
    )
