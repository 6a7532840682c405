"""`llmtool prompts lint`: what is wrong or weak in templates, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_count

if TYPE_CHECKING:
    from llmtool.evals.lint import Finding
    from llmtool.prompts.library import Library

Name = Annotated[str, typer.Argument(metavar="NAME|PATH", help="A template by name, or a path.")]


def register(app: App) -> None:
    """Make `lint` a command of a group."""
    app.add(
        "lint",
        epilog="""Examples:

\b
  llmtool prompts lint
  llmtool prompts lint --strict ./prompts/*.yaml""",
    )(lint)


def lint(
    console: Console,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|PATH]...", help="Templates; all of yours by default."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Check templates for errors and for what could be better.

    Prints a line for each finding; exit 12 if a template is invalid.
    """
    from llmtool.cli import bootstrap
    from llmtool.errors import ExitCode

    folders, _ = bootstrap.start(console, general)
    library = bootstrap.open_library(folders)
    chosen = list(names or library.users())
    alone = len(chosen) == 1
    findings = [finding for name in chosen for finding in find(library, name, alone=alone)]
    if json:
        console.stdout.write_json([finding.to_dict() for finding in findings])
    else:
        for finding in findings:
            console.stdout.write(f"{' '.join(str(finding).split())}\n")
    broken = {finding.file for finding in findings if strict or finding.level == "error"}
    templates = format_count(len(chosen), "template")
    if not chosen:
        console.note("you have no templates (`llmtool prompts new NAME` writes one)")
    elif broken:
        console.note(f"{len(broken)} of {templates} failed")
        raise typer.Exit(ExitCode.TEMPLATE)
    else:
        console.note(f"{templates} can be used")


def find(library: Library, name: str, *, alone: bool) -> list[Finding]:
    """Return what is wrong or weak in a template; that there is none is a finding among others.

    Raises:
        TemplateError: there is none, and no other was named.
    """
    from llmtool.errors import TemplateError
    from llmtool.evals.lint import Finding
    from llmtool.evals.lint import lint as check

    try:
        return check(library, name)
    except TemplateError as exc:
        if alone:
            raise
        reason = str(exc).removeprefix(f"{name}: ")
        return [Finding(file=name, line=1, level="error", reason=reason)]
