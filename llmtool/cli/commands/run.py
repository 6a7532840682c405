"""`llmtool run`: a template as a command."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import GenerateOptions

app = App()


@app.add(
    "run",
    epilog="""Examples:

\b
  llmtool run title < article.txt
  llmtool run qa "When does it start?" < programme.txt
  llmtool run ./triage.yaml -p app=mail --each jsonl < in.jsonl > out.jsonl""",
)
def run(
    console: Console,
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="A template by name, or a path to one.")
    ],
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The template's input; - reads it from stdin."),
    ] = None,
    *,
    input: g.InputOptions,
    output: g.ReplyOutputOptions,
    batch: g.BatchOptions,
    options: GenerateOptions,
    constraint: g.ConstraintOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Run a prompt template: a reply, a value or a label.

    The text for the template is an argument, standard input or files. With both, the argument is
    the template's next input, such as the question about a document.
    """
    from llmtool.cli import pipeline

    pipeline.run(
        console,
        text,
        options,
        constraint=constraint,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )
