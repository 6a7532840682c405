"""`llmtool translate`: translate text and documents."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import TranslateOptions

app = App()


@app.add(
    "translate",
    epilog="""Examples:

\b
  llmtool translate "Good morning" --to French
  llmtool translate --to de < README.md > LIESMICH.md
  llmtool translate -f film.srt --to pt-BR --bilingual -o film.pt.srt
  llmtool translate -f messages.po --to ja --glossary terms.csv -o ja.po
  tail -f news.txt | llmtool translate --to English --each line""",
)
def translate(
    console: Console,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="Text to translate; - reads it from stdin."),
    ] = None,
    *,
    to: Annotated[str, typer.Option("--to", metavar="LANG", help="Target language (German, de).")],
    options: TranslateOptions,
    glossary_file: Annotated[
        str | None,
        typer.Option(
            "--glossary", metavar="FILE.csv", help="Terms and their translations (two columns)."
        ),
    ] = None,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Translate text or a document, preserving code, links and markup.

    Tags, placeholders, timings and keys are also preserved. A segment that the model cannot
    translate without breaking them stays in the source language and is reported on standard error.
    """
    from llmtool.cli.commands.translate import run

    run.translate(
        console,
        text,
        to,
        options,
        glossary_file=glossary_file,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )
