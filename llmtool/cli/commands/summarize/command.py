"""`llmtool sum`: summarize files and standard input."""

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
        typer.Argument(
            metavar="[FILE]...", help="Text, Markdown, HTML, PDF or e-mail; - is stdin."
        ),
    ] = None,
    *,
    options: SummarizeOptions,
    together: Annotated[
        bool, typer.Option("--together", help="Write one summary of all files.")
    ] = False,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Summarize files or standard input of any length.

    A long text is split into chunks at its headings and paragraphs. The notes on each chunk are
    cached, so a rerun (say, with a different --length) is faster. If a summary omits numbers or
    names of the notes, it is replaced by sentences from them.

    --strategy stuff sends the whole text at once, map-reduce summarizes the chunks in parallel and
    combines the notes, and refine updates one summary chunk by chunk. auto is stuff for a short
    text, otherwise map-reduce.

    A --length without a unit counts words, or bullets with --style bullets.
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
