"""`llmtool classify`: score labels by the model's probabilities."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmtool.cli.commands.classify.options import LabelOptions, VerdictOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import ClassifyOptions

app = App("Choose the label that fits a text, with scores.", cls=DefaultGroup)


@app.add(
    "text",
    epilog="""Examples:

\b
  llmtool classify "I was charged twice" -l billing,bug,account
  llmtool classify -l "bill=invoices and refunds" -l "bug=it fails" < in.txt
  git log -1 --format=%B | llmtool classify -l fix,feat,chore --expect fix
  llmtool classify -t sentiment --each csv --field review < in.csv > out.csv""",
)
def classify(
    console: Console,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="Text to classify; - reads it from stdin."),
    ] = None,
    *,
    labels: LabelOptions,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="P", help="Abstain if the best score is below P."),
    ] = None,
    min_margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="M",
            help="Abstain if the best score leads the second by less than M.",
        ),
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="Abstain if the labels' total probability is below P."
        ),
    ] = None,
    overflow: Annotated[
        Literal["error", "chunk"],
        typer.Option("--overflow", help="Reject or split a text that is too long."),
    ] = "error",
    options: ClassifyOptions,
    verdict: VerdictOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Choose the label that fits a text, with scores.

    Scores are the probabilities that the model assigns to the labels; no text is generated. They
    are reliable as probabilities only after calibration on labelled texts (--calibrate).

    If a threshold (--min-confidence, --min-margin, --min-coverage) is not met, no label is printed
    and the exit code is 15.

    --balanced assumes that the labels of a batch (--each) are equally frequent. It prints results
    only at the end of the input, and the batch cannot be resumed.
    """
    from llmtool.cli.commands.classify import run

    run.classify(
        console,
        text,
        options,
        labels=labels,
        verdict=verdict,
        input=input,
        output=output,
        batch=batch,
        model=model,
        general=general,
    )


@app.add(
    "eval",
    epilog="""Examples:

\b
  llmtool classify eval reviews.jsonl -t sentiment
  llmtool classify eval mails.csv --text-field body --label-field kind""",
)
def evaluate(
    console: Console,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts (.jsonl or .csv).")],
    *,
    labels: LabelOptions,
    text_field: Annotated[
        str | None, typer.Option("--text-field", metavar="NAME", help="Column of the text.")
    ] = None,
    label_field: Annotated[
        str, typer.Option("--label-field", metavar="NAME", help="Column of the label.")
    ] = "label",
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Use only rows whose `split` is NAME."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also measure labels generated as text.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Compare chat and completion prompts, each with and without --raw."
        ),
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Plot reliability and confusion (.svg, .png, .pdf)."),
    ] = None,
    options: ClassifyOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Measure accuracy, macro-F1 and calibration on labelled texts."""
    from llmtool.cli.commands.classify import evaluate as evaluation

    evaluation.run(
        console,
        data,
        options,
        text_field=text_field,
        label_field=label_field,
        split=split,
        labels=labels,
        baselines=baselines,
        compare=compare,
        plot=plot,
        output=output,
        model=model,
        general=general,
    )
