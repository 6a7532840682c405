"""The subcommands of `code`: explain, review, fix, complete, tests, commit."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated, Any

import typer

from llmtool.cli.commands.code.options import (
    CodeGroup,
    LanguageOption,
    ReportGroup,
    StrictOption,
    TellGroup,
)
from llmtool.cli.framework.app_factory import HELP
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console


class SeverityMode(Enum):
    error = "error"
    warning = "warning"
    note = "note"


def register(app: Any) -> None:
    """Give the app its subcommands."""
    for name, (function, epilog) in _VERBS.items():
        app.command(name, context_settings=HELP, epilog=f"Examples:\n\n\b\n{epilog}")(function)


@g.grouped
def explain(
    ctx: typer.Context,
    *,
    place: Annotated[
        str, typer.Argument(metavar="FILE[:A-B]", help="The code, or some lines of it; - is stdin.")
    ],
    template: o.TemplateOption = "code-explain",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    show: g.ShowGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Say in words what some code does."""
    from llmtool.cli.commands.code import review as code_read

    console: Console = ctx.obj
    code_read.explain(
        console,
        place,
        started=time.perf_counter(),
        template=template,
        tell=tell,
        sampling=sampling,
        view=show,
        engine=engine,
        common=common,
    )


@g.grouped
def review(
    ctx: typer.Context,
    *,
    staged: Annotated[
        bool, typer.Option("--staged", help="Review what git has staged here.")
    ] = False,
    fail_on: Annotated[
        SeverityMode | None,
        typer.Option("--fail-on", help="End in 15 if there is a finding as bad as this, or worse."),
    ] = None,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0, for CI.")] = False,
    template: o.TemplateOption = "review-hunk",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    source: g.SourceGroup,
    report: ReportGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Review a diff: what is wrong, and in which line.

    The diff comes from standard input, -f or --staged. Lock files, generated files and binaries
    are left out. Each finding is on a line of the diff. With --fail-on it ends in 3 where a part
    could not be reviewed.
    """
    from llmtool.cli.commands.code import review as code_read

    console: Console = ctx.obj
    code_read.review(
        console,
        staged=staged,
        fail_on=None if fail_on is None else fail_on.value,
        as_sarif=sarif,
        template=template,
        tell=tell,
        sampling=sampling,
        source=source,
        report=report,
        engine=engine,
        common=common,
    )


@g.grouped
def fix(
    ctx: typer.Context,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The code that fails.")],
    error: Annotated[
        str | None,
        typer.Option(
            "--error", "-e", metavar="TEXT", help="How it fails; - is stdin. Else its syntax error."
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Change FILE; the old one stays as FILE.orig.")
    ] = False,
    code: CodeGroup,
    template: o.TemplateOption = "code-fix",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    show: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Mend code that fails: print a patch, and change nothing unless --write says so."""
    from llmtool.cli.commands.code import edit

    console: Console = ctx.obj
    edit.fix(
        console,
        file,
        error=error,
        write=write,
        code=code,
        template=template,
        tell=tell,
        sampling=sampling,
        view=show,
        engine=engine,
        common=common,
    )


@g.grouped
def complete(
    ctx: typer.Context,
    *,
    place: Annotated[
        str,
        typer.Argument(metavar="FILE:LINE[:COL]", help="The gap; the end of LINE without COL."),
    ],
    language: LanguageOption = None,
    strict: StrictOption = False,
    sampling: g.SamplingGroup,
    show: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Fill a gap in a file, by the model's own tokens for that.

    Prints what goes into the gap, to the byte. What the window has no room for is left out from
    the ends of the file. A model without such tokens is refused.
    """
    from llmtool.cli.commands.code import edit

    console: Console = ctx.obj
    edit.complete(
        console,
        place,
        language=language,
        strict=strict,
        sampling=sampling,
        view=show,
        engine=engine,
        common=common,
    )


@g.grouped
def tests(
    ctx: typer.Context,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The code to test; - is stdin.")],
    framework: Annotated[
        str | None,
        typer.Option("--framework", metavar="NAME", help="What runs the tests, such as pytest."),
    ] = None,
    code: CodeGroup,
    template: o.TemplateOption = "code-tests",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    show: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Write tests for some code; they are printed and not run."""
    from llmtool.cli.commands.code import edit

    console: Console = ctx.obj
    edit.tests(
        console,
        file,
        framework=framework,
        code=code,
        template=template,
        tell=tell,
        sampling=sampling,
        view=show,
        engine=engine,
        common=common,
    )


@g.grouped
def commit(
    ctx: typer.Context,
    *,
    body: Annotated[bool, typer.Option("--body", help="Write points below the subject.")] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Print a prepare-commit-msg hook, and run no model.")
    ] = False,
    template: o.TemplateOption = "commit",
    tell: TellGroup,
    sampling: g.SamplingGroup,
    report: ReportGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Write a message for what git has staged: type(scope): subject, in 72 characters."""
    from llmtool.cli.commands.code import edit

    console: Console = ctx.obj
    edit.commit(
        console,
        body=body,
        hook=hook,
        template=template,
        tell=tell,
        sampling=sampling,
        report=report,
        engine=engine,
        common=common,
    )


_VERBS = {
    "explain": (
        explain,
        "  llmtool code explain parser.py:120-160\n  llmtool code explain - < query.sql",
    ),
    "review": (
        review,
        "  git diff main | llmtool code review\n"
        "  llmtool code review --staged --fail-on error\n"
        "  git diff main | llmtool code review --sarif -o review.sarif",
    ),
    "fix": (
        fix,
        "  llmtool code fix app.py | git apply\n"
        "  python app.py 2>&1 | llmtool code fix app.py --error - --write",
    ),
    "complete": (complete, "  llmtool code complete app.py:12:5 -m org/coder-GGUF"),
    "tests": (tests, "  llmtool code tests slug.py -o test_slug.py"),
    "commit": (
        commit,
        '  git commit -m "$(llmtool code commit)"\n'
        "  llmtool code commit --hook -o .git/hooks/prepare-commit-msg",
    ),
}
