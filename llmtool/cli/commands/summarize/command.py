"""`llmtool sum`: files and standard input in fewer words."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app()


class StyleMode(Enum):
    paragraph = "paragraph"
    bullets = "bullets"
    headline = "headline"
    tldr = "tldr"


class StrategyMode(Enum):
    auto = "auto"
    stuff = "stuff"
    map_reduce = "map-reduce"
    refine = "refine"


@app.command(
    "sum",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool sum report.md
  llmtool sum --style bullets --length 5 --focus costs minutes.txt
  pandoc paper.docx -t markdown | llmtool sum --length "150 words"
  llmtool sum --sections manual.html -o short.md
  llmtool sum chapters/*.txt --together --length long
  llmtool sum --each csv --field review < in.csv > out.csv""",
)
@g.grouped
def summarize(
    ctx: typer.Context,
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Text, Markdown, HTML, PDF, e-mail; - is stdin."),
    ] = None,
    length: Annotated[
        str,
        typer.Option(metavar="LENGTH", help="short, medium, long, '100 words', '3 sentences', 5."),
    ] = "medium",
    style: Annotated[StyleMode, typer.Option("--style", help="What it looks like.")] = (
        StyleMode.paragraph
    ),
    focus: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What it is about first of all.")
    ] = None,
    sections: Annotated[
        bool, typer.Option("--sections", help="One summary for each top-level section.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="One summary of all files, not one for each.")
    ] = False,
    strategy: Annotated[
        StrategyMode,
        typer.Option("--strategy", help="As a whole, by notes on all parts, or part by part."),
    ] = StrategyMode.auto,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(
            "--chunk-tokens", min=64, metavar="N", help="The longest part, in tokens (1024)."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", "-t", metavar="NAME|PATH", help="The prompt of the summary."),
    ] = None,
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
    """Summarize files or standard input, however long.

    A long text is cut at its structure. Notes on all parts are written together and kept, so that
    the same text in another length, or after an interruption, takes less. A summary that loses the
    numbers and names of its notes is replaced by sentences of them.
    """
    from llmtool.cli.commands.summarize import run

    console: Console = ctx.obj
    run.summarize(
        console,
        files or [],
        length=length,
        style=style.value,
        focus=focus,
        sections=sections,
        together=together,
        strategy=strategy.value,
        chunk_tokens=chunk_tokens,
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
