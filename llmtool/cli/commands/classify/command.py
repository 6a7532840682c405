"""`llmtool classify`: which label fits a text, by the model's own probabilities."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

app = new_app("Say which label fits a text, with a score for each.", cls=DefaultGroup)

TextArgument = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="What to classify; - reads it from stdin.")
]


@app.command(
    "text",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool classify "I was charged twice" -l billing,bug,account
  llmtool classify -l "bill=invoices and refunds" -l "bug=it fails" < in.txt
  git log -1 --format=%B | llmtool classify -l fix,feat,chore --expect fix
  llmtool classify -t sentiment --each csv --field review < in.csv > out.csv""",
)
@g.grouped
def classify(
    ctx: typer.Context,
    *,
    text: TextArgument = None,
    labels: g.LabelsGroup,
    top: Annotated[
        int | None, typer.Option("--top", min=1, metavar="K", help="Print the K best labels.")
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Print scores, not the label alone.")] = (
        False
    ),
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="No label below this score; ends in 15 but in a batch."
        ),
    ] = None,
    min_margin: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="M", help="The same, of the best score less the second."
        ),
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="Z", help="The same, of what the model gives all labels together."
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on", metavar="LABEL", help="End in 15 if this is the label; may be repeated."
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect", metavar="LABEL", help="End in 15 if this is not the label; may be repeated."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which sentences speak for the label.")
    ] = False,
    overflow: Annotated[
        o.OverflowMode,
        typer.Option("--overflow", help="A text longer than the context: an error, or in parts."),
    ] = o.OverflowMode.error,
    source: g.SourceGroup,
    show: g.PrintGroup,
    batch: g.BatchGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Say which label fits a text, with a score for each.

    The labels are scored by the probabilities that the model gives them; nothing is generated. A
    score is no probability unless it was calibrated on labelled texts (--calibrate).

    --balanced assumes that all labels are about as frequent in a batch (--each), and is wrong where
    they are not. It prints nothing before the input has ended, and cannot be resumed.
    """
    from llmtool.cli.commands.classify import run

    console: Console = ctx.obj
    run.classify(
        console,
        text,
        labels=labels,
        wanted=run.Wanted(
            top=top,
            scores=scores,
            min_confidence=min_confidence,
            min_margin=min_margin,
            min_coverage=min_coverage,
            fail_on=tuple(fail_on or ()),
            expect=tuple(expect or ()),
            explain=explain,
        ),
        overflow=overflow.value,
        source=source,
        view=show,
        batch=batch,
        engine=engine,
        common=common,
    )


@app.command(
    "eval",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool classify eval reviews.jsonl -t sentiment
  llmtool classify eval mails.csv --text-field body --label-field kind""",
)
@g.grouped
def evaluate(
    ctx: typer.Context,
    *,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts: .jsonl or .csv.")],
    text_field: Annotated[
        str | None, typer.Option("--text-field", metavar="NAME", help="The column of the text.")
    ] = None,
    label_field: Annotated[
        str, typer.Option("--label-field", metavar="NAME", help="The column of the label.")
    ] = "label",
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Only the rows whose `split` is this."),
    ] = None,
    labels: g.LabelsGroup,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also let the model write labels, as others do.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Measure both forms, and with and without anchors.")
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw reliability and confusion: .svg, .png or .pdf."),
    ] = None,
    show: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Measure how well texts are classified: accuracy, macro-F1, calibration, mistakes."""
    from llmtool.cli.commands.classify import evaluate as labels_eval

    console: Console = ctx.obj
    labels_eval.run(
        console,
        data,
        text_field=text_field,
        label_field=label_field,
        split=split,
        labels=labels,
        baselines=baselines,
        compare=compare,
        plot=plot,
        view=show,
        engine=engine,
        common=common,
    )
