"""`llmtool prompts`: the templates of prompts, and looking into them."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.commands.prompts import evals, lint, write
from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app(
    "List, show, write, check, import and test prompt templates.",
    epilog="Example: llmtool prompts ls",
)


@app.command("ls", context_settings=HELP, epilog="Example: llmtool prompts ls | cut -f1")
def ls(
    ctx: typer.Context,
    json: o.JsonOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """List the templates: your own, and the built-in ones that they do not hide."""
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import show as prompts_show
    from llmtool.cli.render import tables

    console: Console = ctx.obj
    folders, _ = bootstrap.start(console, color=color.value, quiet=quiet)
    library = bootstrap.open_library(folders)
    entries = prompts_show.entries(library)
    if json:
        console.stdout.write_json(entries)
        return
    tables.table(console, ["name", "task", "from", "description"], prompts_show.rows(entries))


@app.command(
    "show",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool prompts show gen
  llmtool prompts show sentiment --rendered -p text="What a day!"
  llmtool prompts show ./triage.yaml --tokens -m starter < ticket.txt""",
)
def show(
    ctx: typer.Context,
    name: lint.Name,
    rendered: Annotated[
        bool, typer.Option("--rendered", help="Show the messages; what is not given is <name>.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Count the tokens of the messages as well.")
    ] = False,
    param: o.ParamOption = None,
    system: o.SystemOption = None,
    model: o.ModelOption = None,
    file: o.FileOption = None,
    no_stdin: o.NoStdinOption = False,
    errors: o.ErrorsOption = o.ErrorsMode.strict,
    json: o.JsonOption = False,
    offline: o.OfflineOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Show a template: its file, with --json as it is understood, or rendered.

    Values, files and a system prompt ask for the rendered form.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import show as prompts_show
    from llmtool.prompts.library import read_text

    console: Console = ctx.obj
    folders, settings = bootstrap.start(console, color=color.value, quiet=quiet, offline=offline)
    library = bootstrap.open_library(folders)
    if rendered or tokens or param or file or system is not None:
        chosen = prompts_show.render_for_people(
            console,
            library.load(name),
            bootstrap.parse_params(param or []),
            files=file or [],
            no_stdin=no_stdin,
            errors=errors.value,
            system=system,
            model_name=prompts_show.model_name(folders, settings, model),
        )
        counts = prompts_show.count(console, folders, settings, model, chosen) if tokens else None
        prompts_show.messages(console, chosen, counts, as_json=json)
    elif json:
        console.stdout.write_json(prompts_show.to_dict(library, name))
    else:
        console.stdout.write(read_text(library.find(name)))
        console.stdout.end_line()


@app.command(
    "schema",
    context_settings=HELP,
    epilog="Example: llmtool prompts schema > llmtool-prompt.schema.json",
)
def schema(ctx: typer.Context, debug: o.DebugOption = False) -> None:
    """Print the JSON Schema of template files, for editors."""
    from llmtool.prompts.schema import schema_text

    console: Console = ctx.obj
    console.stdout.write(schema_text())


write.register(app)
lint.register(app)
evals.register(app)
