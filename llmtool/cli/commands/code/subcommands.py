"""The subcommands of `code`: explain, review, fix, complete, tests, commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from llmtool.cli.commands.code.options import CheckOptions, Strict
from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import (
    CommitOptions,
    CompleteOptions,
    ExplainOptions,
    FixOptions,
    ReplyOptions,
    ReviewOptions,
    WriteTestsOptions,
)


def explain(
    console: Console,
    place: Annotated[
        str, typer.Argument(metavar="FILE[:A-B]", help="The code, or some lines of it; - is stdin.")
    ],
    *,
    options: ReplyOptions = ReplyOptions(template=ExplainOptions().template),
    output: g.StreamOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Explain in words what code does."""
    from llmtool.cli.commands.code import review

    review.explain(console, place, options, output=output, model=model, general=general)


def review(
    console: Console,
    *,
    staged: Annotated[bool, typer.Option("--staged", help="Review what is staged in git.")] = False,
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None,
        typer.Option("--fail-on", help="Exit 15 if a finding is as bad as this, or worse."),
    ] = None,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0, for CI.")] = False,
    options: ReplyOptions = ReplyOptions(template=ReviewOptions().template),
    input: g.InputOptions,
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Review a diff: what is wrong, and in which line.

    The diff comes from standard input, -f or --staged. Lock files, generated files and binaries
    are skipped. Each finding is on a line of the diff. With --fail-on the exit code is 3 if a part
    could not be reviewed.
    """
    from llmtool.cli.commands.code import review

    review.review(
        console,
        options,
        staged=staged,
        fail_on=fail_on,
        as_sarif=sarif,
        input=input,
        output=output,
        model=model,
        general=general,
    )


def fix(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The code that fails.")],
    *,
    error: Annotated[
        str | None,
        typer.Option(
            "--error",
            "-e",
            metavar="TEXT",
            help="How it fails; - is stdin.",
            show_default="its syntax error",
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Change FILE, and save the old one as FILE.orig.")
    ] = False,
    options: FixOptions,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Fix code that fails: print a patch, or change the file with --write."""
    from llmtool.cli.commands.code import edit

    edit.fix(
        console,
        file,
        options,
        error=error,
        write=write,
        check=check,
        output=output,
        model=model,
        general=general,
    )


def complete(
    console: Console,
    place: Annotated[
        str,
        typer.Argument(metavar="FILE:LINE[:COL]", help="The gap; the end of LINE without COL."),
    ],
    *,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", "-l", metavar="LANG", help="Language: python, js, ts, sh, rs, …"
        ),
    ] = None,
    strict: Strict = False,
    sampling: CompleteOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Fill a gap in a file, with a model trained for it.

    Prints exactly what goes into the gap. If the file is longer than the context, its ends are
    left out. Other models are an error.
    """
    from llmtool.cli.commands.code import edit

    edit.complete(
        console,
        place,
        sampling,
        language=language,
        strict=strict,
        output=output,
        model=model,
        general=general,
    )


def tests(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The code to test; - is stdin.")],
    *,
    framework: Annotated[
        str | None,
        typer.Option("--framework", metavar="NAME", help="Test framework, such as pytest."),
    ] = None,
    options: WriteTestsOptions,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write tests for code; they are printed and not run."""
    from llmtool.cli.commands.code import edit

    edit.tests(
        console,
        file,
        options,
        framework=framework,
        check=check,
        output=output,
        model=model,
        general=general,
    )


def commit(
    console: Console,
    *,
    body: Annotated[bool, typer.Option("--body", help="Add a list of points.")] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Print a prepare-commit-msg hook; run no model.")
    ] = False,
    options: ReplyOptions = ReplyOptions(template=CommitOptions().template),
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write a commit message for what is staged: type(scope): subject, in 72 characters."""
    from llmtool.cli.commands.code import edit

    edit.commit(console, options, body=body, hook=hook, output=output, model=model, general=general)


_VERBS: dict[str, tuple[Callable[..., None], str]] = {
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


def register(app: App) -> None:
    """Add the subcommands to an app."""
    for name, (function, epilog) in _VERBS.items():
        app.add(name, epilog=f"Examples:\n\n\b\n{epilog}")(function)
