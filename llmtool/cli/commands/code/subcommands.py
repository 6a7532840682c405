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
    location: Annotated[
        str, typer.Argument(metavar="FILE[:A-B]", help="File, or its lines A to B; - is stdin.")
    ],
    *,
    options: ReplyOptions = ReplyOptions(template=ExplainOptions().template),
    output: g.StreamOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Explain what code does."""
    from llmtool.cli.commands.code import review

    review.explain(console, location, options, output=output, model=model, general=general)


def review(
    console: Console,
    *,
    staged: Annotated[
        bool, typer.Option("--staged", help="Review the changes staged in git.")
    ] = False,
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None,
        typer.Option("--fail-on", help="Exit 15 on findings this severe or worse."),
    ] = None,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0 (for CI).")] = False,
    options: ReplyOptions = ReplyOptions(template=ReviewOptions().template),
    input: g.InputOptions,
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Review a diff and list problems by line.

    The diff is read from standard input, -f or --staged. Lock files, generated files and binary
    files are skipped. Each finding refers to a line of the diff. With --fail-on, the exit code is 3
    if a part of the diff could not be reviewed.
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
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to fix; - is stdin.")],
    *,
    error: Annotated[
        str | None,
        typer.Option(
            "--error",
            "-e",
            metavar="TEXT",
            help="Error message; - is stdin.",
            show_default="the syntax error found in FILE",
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Change FILE; save the original as FILE.orig.")
    ] = False,
    options: FixOptions,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Fix code: print a patch, or change the file with --write."""
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
    location: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE[:COL]", help="Position; COL defaults to the end of LINE."
        ),
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
    """Complete code at a position, with a fill-in-the-middle model.

    Prints exactly the text to insert. If the file is longer than the context, only the code around
    the position is sent, and a note reports this. Models without fill-in-the-middle tokens are
    rejected.
    """
    from llmtool.cli.commands.code import edit

    edit.complete(
        console,
        location,
        sampling,
        language=language,
        strict=strict,
        output=output,
        model=model,
        general=general,
    )


def tests(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Code to test; - is stdin.")],
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
    """Write tests for code; they run only with --run-tests."""
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
    body: Annotated[
        bool, typer.Option("--body", help="Add a body with a list of changes.")
    ] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Print a prepare-commit-msg hook, then exit.")
    ] = False,
    options: ReplyOptions = ReplyOptions(template=CommitOptions().template),
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write a commit message for the staged changes.

    Its first line is 'type(scope): subject', at most 72 characters long.
    """
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
        title = "Examples" if "\n" in epilog else "Example"
        app.add(name, epilog=f"{title}:\n\n\b\n{epilog}")(function)
