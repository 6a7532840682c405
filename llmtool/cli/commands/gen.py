"""`llmtool gen`: text from a prompt."""

from __future__ import annotations

import time

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app()


@app.command(
    "gen",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool gen "Write a haiku about rain"
  git log --oneline | head -20 | llmtool gen "Sum up what changed"
  llmtool gen -f notes.txt "List the open questions" --json | jq -r .text
  llmtool gen --schema "name, year int" "Extract the person" < bio.txt
  llmtool gen --each csv --field body "Name the topic" < in.csv > out.csv""",
)
@g.grouped
def gen(
    ctx: typer.Context,
    *,
    prompt: o.PromptArgument = None,
    system: o.SystemOption = None,
    template: o.TemplateOption = "gen",
    param: o.ParamOption = None,
    source: g.SourceGroup,
    show: g.ShowGroup,
    batch: g.BatchGroup,
    reply: g.ReplyGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Generate text from a prompt, with standard input or files as material.

    An argument is the instruction; what comes on standard input or from -f is the material it is
    about. Without an argument the material is the prompt itself.
    """
    from llmtool.cli import pipeline

    console: Console = ctx.obj
    pipeline.command(
        console,
        prompt,
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
