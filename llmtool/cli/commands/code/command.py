"""`llmtool code`: write code; its subcommands work on existing code."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.commands.code import commit, edit, review
from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import CodeOptions

app = App("Write, explain, review, fix, complete and test code.", cls=DefaultGroup)


@app.add(
    "text",
    epilog="""Examples:

\b
  llmtool code "a function that reverses a list" -l python > reverse.py
  llmtool code "parse this log into JSON" -l js -f sample.log -o parse.js
  llmtool code "slugify a title" -o slug.py --run-tests "pytest test_slug.py"
  llmtool code --each line -l sql --jsonl < requests.txt""",
)
def write(
    console: Console,
    request: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST]", help="What the code should do; - reads it from stdin."),
    ] = None,
    *,
    options: CodeOptions,
    check: CheckOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write, explain, review, fix, complete and test code.

    REQUEST describes the code to write. Only code is printed to standard output. If it has a syntax
    error, the model repairs it; code without errors is formatted. If an error remains, the code is
    still printed and the exit code is 17. The code is executed only by --run-tests.
    """
    from llmtool.cli.commands.code import generate

    generate.write(
        console,
        request,
        options,
        check=check,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )


app.add(
    "explain",
    epilog="""Examples:

\b
  llmtool code explain parser.py:120-160
  llmtool code explain - < query.sql""",
)(review.explain)
app.add(
    "review",
    epilog="""Examples:

\b
  git diff main | llmtool code review
  llmtool code review --staged --fail-on error
  git diff main | llmtool code review --sarif -o review.sarif""",
)(review.review)
app.add(
    "fix",
    epilog="""Examples:

\b
  llmtool code fix app.py | git apply
  python app.py 2>&1 | llmtool code fix app.py --error - --write""",
)(edit.fix)
app.add("complete", epilog="Example: llmtool code complete app.py:12:5 -m org/coder-GGUF")(
    edit.complete
)
app.add("tests", epilog="Example: llmtool code tests slug.py -o test_slug.py")(edit.tests)
app.add(
    "commit",
    epilog="""Examples:

\b
  git commit -m "$(llmtool code commit)"
  llmtool code commit --hook -o .git/hooks/prepare-commit-msg""",
)(commit.commit)
