"""`llmtool prompts`: manage prompt templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from llmtool.cli.commands.prompts import evals, tune, write
from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_count
from llmtool.tasks.options import PromptOptions

if TYPE_CHECKING:
    from llmtool.evals.lint import Finding
    from llmtool.prompts.library import Library

Name = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Template name or path.")]

app = App(
    "List, show, create, check, import, test and tune prompt templates.",
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
    template: Name,
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
    timeout: g.Timeout = None,
    general: g.GeneralOptions,
) -> None:
    """Show a template file, its parsed form (--json) or its messages (--rendered).

    -p, -f, -s and --tokens imply --rendered.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import show as prompts_show
    from llmtool.prompts.library import read_text

    limits = g.ModelOptions(offline=offline, timeout=timeout)
    folders, settings = bootstrap.start(console, general, limits)
    source = input.resolve(console, settings)
    library = bootstrap.open_library(folders)
    if rendered or tokens or options.variables or source.files or options.system is not None:
        chosen = prompts_show.render(
            console,
            library.load(template),
            options,
            input=source,
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


@app.add(
    "lint",
    epilog="""Examples:

\b
  llmtool prompts lint
  llmtool prompts lint --strict ./prompts/*.yaml""",
)
def lint(
    console: Console,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|PATH]...", help="Templates.", show_default="all your templates"
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Check templates for errors and possible improvements.

    Prints one line per finding. The exit code is 12 if a template is invalid.
    """
    from llmtool.cli import bootstrap
    from llmtool.errors import ExitCode

    folders, _ = bootstrap.start(console, general)
    library = bootstrap.open_library(folders)
    chosen = list(names or library.users())
    is_single = len(chosen) == 1
    findings = [
        finding for name in chosen for finding in _check(library, name, is_single=is_single)
    ]
    if json:
        console.stdout.write_json(msgspec.to_builtins(findings))
    else:
        for finding in findings:
            console.stdout.write(f"{' '.join(str(finding).split())}\n")
    broken = {finding.file for finding in findings if strict or finding.level == "error"}
    templates = format_count(len(chosen), "template")
    if not chosen:
        console.note("you have no templates; create one with `llmtool prompts new NAME`")
    elif broken:
        console.note(f"{len(broken)} of {templates} failed")
        raise typer.Exit(ExitCode.TEMPLATE)
    else:
        console.note(f"{templates} passed")


def _check(library: Library, name: str, *, is_single: bool) -> list[Finding]:
    """Return the findings in a template; among several, an unknown template is one."""
    from llmtool.errors import TemplateError
    from llmtool.evals.lint import Finding
    from llmtool.evals.lint import lint as lint_template

    try:
        return lint_template(library, name)
    except TemplateError as exc:
        if is_single:
            raise
        reason = str(exc).removeprefix(f"{name}: ")
        return [Finding(file=name, line=1, level="error", reason=reason)]


write.register(app)
evals.register(app)
tune.register(app)
