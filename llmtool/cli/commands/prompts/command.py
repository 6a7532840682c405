"""`llmtool prompts`: manage prompt templates."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.commands.prompts import evals, lint, write
from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import PromptOptions

app = App(
    "List, show, create, check, import and test prompt templates.",
    epilog="Example: llmtool prompts ls",
)


@app.add("ls", epilog="Example: llmtool prompts ls | cut -f1")
def ls(
    console: Console,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """List your templates, and built-in ones that they do not override."""
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import show as prompts_show
    from llmtool.cli.render import tables

    folders, _ = bootstrap.start(console, general)
    library = bootstrap.open_library(folders)
    entries = prompts_show.entries(library)
    if json:
        console.stdout.write_json(entries)
        return
    tables.table(console, ["name", "task", "source", "description"], prompts_show.rows(entries))


@app.add(
    "show",
    epilog="""Examples:

\b
  llmtool prompts show gen
  llmtool prompts show sentiment --rendered -p text="What a day!"
  llmtool prompts show ./triage.yaml --tokens -m starter < ticket.txt""",
)
def show(
    console: Console,
    template: lint.Name,
    *,
    rendered: Annotated[
        bool,
        typer.Option("--rendered", help="Show the messages, with <name> for missing values."),
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Show token counts of the messages.")
    ] = False,
    options: PromptOptions,
    model: g.ModelReference = None,
    input: g.InputOptions,
    json: g.Json = False,
    offline: g.Offline = False,
    general: g.GeneralOptions,
) -> None:
    """Show a template file, its parsed form (--json) or its messages (--rendered).

    -p, -f, -s and --tokens imply --rendered.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import show as prompts_show
    from llmtool.prompts.library import read_text

    folders, settings = bootstrap.start(console, general, offline=offline)
    library = bootstrap.open_library(folders)
    if rendered or tokens or options.variables or input.files or options.system is not None:
        chosen = prompts_show.render(
            console,
            library.load(template),
            options,
            input=input,
            model_name=prompts_show.model_name(folders, settings, model),
        )
        counts = prompts_show.count(console, folders, settings, model, chosen) if tokens else None
        prompts_show.messages(console, chosen, counts, as_json=json)
    elif json:
        console.stdout.write_json(prompts_show.to_dict(library, template))
    else:
        console.stdout.write(read_text(library.find(template)))
        console.stdout.end_line()


@app.add(
    "schema",
    epilog="Example: llmtool prompts schema > llmtool-prompt.schema.json",
)
def schema(console: Console, *, general: g.GeneralOptions) -> None:
    """Print the JSON Schema of template files, for editors."""
    from llmtool.prompts.schema import schema_text

    console.stdout.write(schema_text())


write.register(app)
lint.register(app)
evals.register(app)
