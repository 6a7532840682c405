"""`llmtool gen`: generate text from a prompt."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import GenerateOptions

app = App()


@app.add(
    "gen",
    epilog="""Examples:

\b
  llmtool gen "Write a haiku about rain"
  git log --oneline | head -20 | llmtool gen "Summarize the changes"
  llmtool gen "List the open questions" notes.txt --json | jq -r .text
  llmtool gen --schema "name, year int" "Extract the person" < bio.txt
  llmtool gen --each csv --field body "Name the topic" < in.csv > out.csv""",
)
def gen(
    console: Console,
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="Instruction; - reads it from stdin.")
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files to read, like -f."),
    ] = None,
    *,
    is_raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            rich_help_panel="Reply",
            help="Continue the prompt, without template and chat template.",
        ),
    ] = False,
    input: g.InputOptions,
    output: g.ReplyOutputOptions,
    batch: g.BatchOptions,
    options: GenerateOptions,
    constraint: g.ConstraintOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Generate text from a prompt, standard input and files.

    The first argument is the instruction; standard input and files are the text that it refers to.
    Without an argument, that text is the prompt.
    """
    from llmtool.cli import pipeline

    pipeline.run(
        console,
        prompt,
        paths or [],
        msgspec.structs.replace(options, raw=is_raw),
        constraint=constraint,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )
