"""`llmtool prompts lint`: check templates without a model."""

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

Name = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Template name or path.")]


def register(app: App) -> None:
    """Add `lint` to a command group."""
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
    findings = [finding for name in chosen for finding in check(library, name, is_single=is_single)]
    if json:
        console.stdout.write_json([finding.to_dict() for finding in findings])
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


def check(library: Library, name: str, *, is_single: bool) -> list[Finding]:
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
