"""`llmtool translate`: texts and documents into another language, their structure kept."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app()


class FormatMode(Enum):
    auto = "auto"
    txt = "txt"
    md = "md"
    html = "html"
    srt = "srt"
    vtt = "vtt"
    po = "po"
    json = "json"


@app.command(
    "translate",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool translate "Good morning" --to French
  llmtool translate --to de < README.md > LIESMICH.md
  llmtool translate -f film.srt --to pt-BR --bilingual -o film.pt.srt
  llmtool translate -f messages.po --to ja --glossary terms.csv -o ja.po
  tail -f news.txt | llmtool translate --to English --each line""",
)
@g.grouped
def translate(
    ctx: typer.Context,
    *,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="What to translate; - reads it from stdin."),
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="LANG", help="A language: German, de, pt-BR.")],
    source_language: Annotated[
        str,
        typer.Option("--from", metavar="LANG", help="The text's language; auto finds it out."),
    ] = "auto",
    format: Annotated[
        FormatMode,
        typer.Option("--format", help="The text's format; auto goes by its name, then its text."),
    ] = FormatMode.auto,
    glossary: Annotated[
        str | None,
        typer.Option(metavar="FILE.csv", help="Terms and their translations, in two columns."),
    ] = None,
    bilingual: Annotated[
        bool,
        typer.Option(
            "--bilingual", help="Keep each passage above its translation (txt, srt, vtt)."
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End in 17, with no output, if a passage stays as it was."),
    ] = False,
    template: o.TemplateOption = "translate",
    param: o.ParamOption = None,
    system: o.SystemOption = None,
    think: o.ThinkOption = None,
    source: g.SourceGroup,
    show: g.ShowGroup,
    batch: g.BatchGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Translate a text or a document; what is not language stays as it is.

    Code, links, tags, placeholders, timings and keys are kept, and checked. A passage that the
    model cannot translate without breaking them stays in its language, and is told on stderr.
    """
    from llmtool.cli.commands.translate import run

    console: Console = ctx.obj
    run.translate(
        console,
        text,
        to=to,
        source_language=source_language,
        format=format.value,
        glossary=glossary,
        bilingual=bilingual,
        strict=strict,
        template=template,
        param=param,
        system=system,
        think=think,
        source=source,
        view=show,
        batch=batch,
        sampling=sampling,
        engine=engine,
        common=common,
    )
