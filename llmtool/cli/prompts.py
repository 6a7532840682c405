"""`llmtool prompts`: the templates of prompts, and looking into them."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli import options as o
from llmtool.cli import prompts_lint, prompts_test, prompts_write
from llmtool.cli.new_app import HELP, new_app

app = new_app(
    "List, show, write, check, import and test prompt templates.",
    epilog="Example: llmtool prompts ls",
)


@app.command("ls", context_settings=HELP, epilog="Example: llmtool prompts ls | cut -f1")
def ls(
    json: o.JsonOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """List the templates: your own, and the built-in ones that they do not hide."""
    from llmtool.cli import drawing, output, prompts_show, setup

    folders, _ = setup.start(color=color.value, quiet=quiet)
    library = setup.open_library(folders)
    entries = prompts_show.entries(library)
    if json:
        output.write_json(entries)
        return
    drawing.table(["name", "task", "from", "description"], prompts_show.rows(entries))


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
    name: prompts_lint.Name,
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
    from llmtool.cli import output, prompts_show, setup
    from llmtool.prompts.library import read_text

    folders, settings = setup.start(color=color.value, quiet=quiet, offline=offline)
    library = setup.open_library(folders)
    if rendered or tokens or param or file or system is not None:
        chosen = prompts_show.render_for_people(
            library.load(name),
            setup.parse_params(param or []),
            files=file or [],
            no_stdin=no_stdin,
            errors=errors.value,
            system=system,
            model_name=prompts_show.model_name(folders, settings, model),
        )
        counts = prompts_show.count(folders, settings, model, chosen) if tokens else None
        prompts_show.messages(chosen, counts, as_json=json)
    elif json:
        output.write_json(prompts_show.to_dict(library, name))
    else:
        output.stdout.write(read_text(library.find(name)))
        output.stdout.end_line()


@app.command(
    "schema",
    context_settings=HELP,
    epilog="Example: llmtool prompts schema > llmtool-prompt.schema.json",
)
def schema(debug: o.DebugOption = False) -> None:
    """Print the JSON Schema of template files, for editors."""
    from llmtool.cli import output
    from llmtool.prompts.schema import schema_text

    output.stdout.write(schema_text())


prompts_write.register(app)
prompts_lint.register(app)
prompts_test.register(app)
