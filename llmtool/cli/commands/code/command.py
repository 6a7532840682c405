"""`llmtool code`: code from words, files, diffs and gaps."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.commands.code import subcommands
from llmtool.cli.commands.code.options import CodeGroup, TellGroup
from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app("Write code that parses; explain, review, mend and complete it.", cls=DefaultGroup)


@app.command(
    "text",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool code "a function that reverses a list" -l python > reverse.py
  llmtool code "parse this log into JSON" -l js -f sample.log -o parse.js
  llmtool code "slugify a title" -o slug.py --run-tests "pytest test_slug.py"
  llmtool code --each line -l sql --jsonl < requests.txt""",
)
@g.grouped
def write(
    ctx: typer.Context,
    *,
    request: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST]", help="What the code has to do; - reads it from stdin."),
    ] = None,
    code: CodeGroup,
    template: o.TemplateOption = "code",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    source: g.SourceGroup,
    show: g.PrintGroup,
    batch: g.BatchGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Write code that parses; explain, review, mend and complete it.

    Standard output is code and nothing else. It is checked, sent back with its error where it does
    not parse, and laid out. What still has an error is printed and ends in 17. Nothing is run.
    """
    from llmtool.cli.commands.code import generate

    console: Console = ctx.obj
    generate.write(
        console,
        request,
        template=template,
        code=code,
        tell=tell,
        sampling=sampling,
        source=source,
        view=show,
        batch=batch,
        engine=engine,
        common=common,
    )


subcommands.register(app)
