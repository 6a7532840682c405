"""`llmtool run`: a template as a command."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app()


@app.command(
    "run",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool run title < article.txt
  llmtool run qa "When does it start?" < programme.txt
  llmtool run ./triage.yaml -p app=mail --each jsonl < in.jsonl > out.jsonl""",
)
@g.grouped
def run(
    ctx: typer.Context,
    *,
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="A template by name, or a path to one.")
    ],
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="What it is about; - reads it from stdin."),
    ] = None,
    param: o.ParamOption = None,
    system: o.SystemOption = None,
    source: g.SourceGroup,
    show: g.ShowGroup,
    batch: g.BatchGroup,
    reply: g.ReplyGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Run a template: its reply, value or label.

    The text goes to the template's material: an argument, standard input or files. With both, the
    argument goes to the template's next input, such as the question about a document.
    """
    from llmtool.cli import pipeline

    console: Console = ctx.obj
    pipeline.command(
        console,
        text,
        pipeline.read_options(console, system=system, param=param, reply=reply, sampling=sampling),
        template=template,
        started=time.perf_counter(),
        source=source,
        view=show,
        batch=batch,
        reply=reply,
        engine=engine,
        common=common,
    )
