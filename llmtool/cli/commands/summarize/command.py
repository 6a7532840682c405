"""`llmtool sum`: files and standard input in fewer words."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import SummarizeOptions

app = App()


@app.add(
    "sum",
    epilog="""Examples:

\b
  llmtool sum report.md
  llmtool sum --style bullets --length 5 --focus costs minutes.txt
  pandoc paper.docx -t markdown | llmtool sum --length "150 words"
  llmtool sum --sections manual.html -o short.md
  llmtool sum chapters/*.txt --together --length long
  llmtool sum --each csv --field review < in.csv > out.csv""",
)
def summarize(
    console: Console,
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Text, Markdown, HTML, PDF, e-mail; - is stdin."),
    ] = None,
    *,
    options: SummarizeOptions,
    together: Annotated[
        bool, typer.Option("--together", help="Summarize all files in one summary.")
    ] = False,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Summarize files or standard input, however long.

    A long text is split at its structure. Notes on all parts are written together and cached, so
    that another length, or a second try after an interruption, takes less time. A summary that
    loses the numbers and names of its notes is replaced by sentences of the notes.
    """
    from llmtool.cli.commands.summarize import run

    run.summarize(
        console,
        documents or [],
        options,
        together=together,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )
