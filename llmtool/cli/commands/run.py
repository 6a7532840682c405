"""`llmtool run`: run a prompt template."""

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
  llmtool run qa "When does it start?" < program.txt
  llmtool run ./triage.yaml -p app=mail --each jsonl < in.jsonl > out.jsonl""",
)
def run(
    console: Console,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Template name or path.")],
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="Text for the template; - reads it from stdin."),
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files to read, like -f."),
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
    """Run a prompt template.

    The text for the template is an argument, standard input or files. If an argument is combined
    with standard input or files, it sets the template's next input, such as a question about the
    text.
    """
    from llmtool.cli import bootstrap, pipeline
    from llmtool.errors import TemplateError
    from llmtool.prompts.library import SUFFIXES

    try:
        pipeline.run(
            console,
            text,
            paths or [],
            options,
            constraint=constraint,
            input=input,
            output=output,
            batch=batch,
            model=model,
            general=general,
        )
    except TemplateError as exc:
        library = bootstrap.open_library(bootstrap.find_folders())
        is_file = template.endswith(SUFFIXES) or library.has(template)
        if is_file or "did you mean" in str(exc):
            raise
        command = "chat" if text is None else "gen"
        hint = f"to run a model, use `llmtool {command} -m {template}`"
        raise TemplateError(f"{exc} ({hint})") from exc
