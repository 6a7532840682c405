"""`llmtool code`: code from words, files, diffs and gaps."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.commands.code import subcommands
from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import CodeOptions

app = App("Write code that parses; explain, review, fix and complete it.", cls=DefaultGroup)


@app.add(
    "text",
    epilog="""Examples:

\b
  llmtool code "a function that reverses a list" -l python > reverse.py
  llmtool code "parse this log into JSON" -l js -f sample.log -o parse.js
  llmtool code "slugify a title" -o slug.py --run-tests "pytest test_slug.py"
  llmtool code --each line -l sql --jsonl < requests.txt""",
)
def write(
    console: Console,
    request: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST]", help="What the code has to do; - reads it from stdin."),
    ] = None,
    *,
    options: CodeOptions,
    check: CheckOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write code that parses; explain, review, fix and complete it.

    Standard output is code and nothing else. Code that does not parse goes back to the model with
    its error; code that parses is formatted. If an error remains, the code is printed all the same
    and the exit code is 17. Nothing is run.
    """
    from llmtool.cli.commands.code import generate

    generate.write(
        console,
        request,
        options,
        check=check,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )


subcommands.register(app)
