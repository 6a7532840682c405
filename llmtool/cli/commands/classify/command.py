"""`llmtool classify`: score labels by the model's probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmtool.cli.commands.classify.options import LabelOptions, VerdictOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import ClassifyOptions

if TYPE_CHECKING:
    from llmtool.tasks.classify.classifier import Classifier
    from llmtool.tasks.pipeline.context import TaskContext

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
    import msgspec

    from llmtool.cli import batch as batches
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.classify import labels as read
    from llmtool.cli.commands.classify import run
    from llmtool.cli.render import result as show
    from llmtool.cli.render.classification import classification
    from llmtool.cli.terminal import inputs
    from llmtool.cli.terminal.progress import RecordProgress
    from llmtool.errors import UsageError
    from llmtool.tasks.classify.labels import unknown_label
    from llmtool.tasks.classify.task import prepare_classifier
    from llmtool.tasks.pipeline.prepare import bind_inputs

    folders, settings = bootstrap.start(console, general, model)
    if verdict.explain and (options.multi or batch.each is not None):
        raise UsageError(
            "--explain cannot be combined with --each or --multi; use it with one text"
        )
    if batch.each is not None and (verdict.top is not None or verdict.scores):
        raise UsageError(
            "--top and --scores cannot be combined with --each; rows include the scores"
        )
    if labels.calibrate is not None and output.dry_run:
        raise UsageError("--calibrate and --dry-run cannot be combined; use one of them")
    if labels.calibrate is not None and batch.job is not None:
        raise UsageError("--calibrate needs a model, which a batch file lacks; omit it")
    if labels.balanced and batch.each is None:
        raise UsageError("--balanced needs a batch; add --each line, jsonl, csv or file")
    if labels.balanced and batch.shard is not None:
        raise UsageError("--balanced and --shard cannot be combined; it needs all records")
    if labels.balanced and batch.ray is not None:
        raise UsageError("--balanced and --ray cannot be combined; it needs all records")
    if labels.balanced and (batch.resume or batch.retry_failed):
        option = "--resume" if batch.resume else "--retry-failed"
        raise UsageError(f"--balanced and {option} cannot be combined; use --overwrite")
    source = input.resolve(console, settings)
    template = read.load_template(folders, options)
    chosen = read.read_options(console, options, labels)
    names = read.read_labels(console, labels.label)
    reads = bootstrap.input_files(template, *labels.files, *source.files)
    fits_only = False
    prompt = material = opened = None
    if batch.each is not None:
        opened = batches.open_batch(console, batch, source, output, reads=reads, text=text)
    else:
        batch.check_unused()
        output.check(console, reads=reads)
        if labels.calibrate is not None and text is None and not source.files:
            if not source.no_stdin:
                material = inputs.read_optional_stdin(console, source)
            fits_only = material is None
        else:
            prompt, material = run.gather(console, text, source)
    read.report_skipped_examples(console, chosen, template, names)
    scored = RecordProgress(console, "scored: ")

    def show_scored(n_scored: int) -> None:
        if opened is not None and labels.balanced:  # other batches print rows meanwhile
            scored(n_scored, batch.limit or opened.reader.n_expected)

    chosen = msgspec.structs.replace(chosen, template=template)
    progress: dict[str, Any] = {}
    if batch.ray is None:  # whose workers show nothing
        progress = {"on_scored": show_scored, "on_choice": run.choice_progress(console)}

    def prepare(context: TaskContext) -> Classifier:
        classifier = prepare_classifier(context, names, chosen, **progress)
        for name in (*verdict.fail_on, *verdict.expect):
            if name not in classifier.names:
                raise unknown_label(name, classifier.names)
        return classifier

    given = frozenset(options.variables)

    def check_input(classifier: Classifier) -> None:
        if opened is not None:
            from llmtool.tasks.pipeline.records import RecordMapping

            mapping = RecordMapping(template=classifier.template, field=batch.field, given=given)
            batches.check_files(opened, mapping, classifier.request)

    context, classifier = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        prepare,
        output.path,
        check=check_input,
        backend=None if opened is None else opened.backend,
    )
    if labels.calibrate is not None:
        run.calibrate(console, context, classifier, labels.calibrate)
        if fits_only:
            return
    if opened is not None:
        with scored:
            run.run_batch(console, context, classifier, opened, given, verdict=verdict)
        return
    case = bind_inputs(classifier.template, prompt=prompt, input=material, given=given)
    if output.dry_run:
        if classifier.load_choice():
            console.note("this prompt shows no examples; the recipe is chosen with the first text")
        show.prompt(console, context, classifier.request(case), as_json=output.json)
        return
    result, weights = run.classify(context, classifier, case, with_weights=verdict.explain)
    classification(
        console, result, output=output, top=verdict.top, scores=verdict.scores, weights=weights
    )
    may_abstain = run.may_abstain(options)
    if result.reason and not may_abstain and output.path is None:
        console.note(f"no label: {result.reason}")
    run.check_verdict(result, verdict, may_abstain=may_abstain)


@app.add(
    "eval",
    epilog="""Examples:

\b
  llmtool classify eval reviews.jsonl -t sentiment
  llmtool classify eval mails.csv --text-field body --label-field kind
  llmtool classify eval mails.csv --fail-under accuracy=0.9 --fail-under f1:spam=80%""",
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
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="METRIC=X",
            help="Exit 15 below accuracy=0.9, macro-f1=80%, recall:LABEL=0.7, … (repeatable).",
        ),
    ] = None,
    github: g.GitHub = False,
    options: ClassifyOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Measure accuracy, macro-F1 and calibration on labelled texts.

    With --fail-under, the exit code is 15 if a metric is lower. The metrics are accuracy and
    macro-f1, and precision, recall and f1 of a label, such as recall:spam=0.8. The report is
    printed first.
    """
    import os

    import msgspec

    from llmtool.cli import bootstrap
    from llmtool.cli.commands.classify import conditions
    from llmtool.cli.commands.classify import evaluate as evaluation
    from llmtool.cli.commands.classify import labels as read
    from llmtool.cli.commands.classify import plot as labels_plot
    from llmtool.cli.commands.classify.run import calibrate, choice_progress
    from llmtool.cli.render.github import annotation
    from llmtool.cli.terminal.progress import RecordProgress
    from llmtool.errors import LowConfidence, UsageError
    from llmtool.tasks.classify import evaluate as measure
    from llmtool.tasks.classify.labelled_texts import read_labelled_texts
    from llmtool.tasks.classify.task import prepare_classifier

    limits = [conditions.parse(each) for each in fail_under or ()]
    if github and (output.json or not limits):
        raise UsageError("--github needs --fail-under, and cannot be combined with --json")
    if options.multi:
        raise UsageError("eval does not support --multi; it measures one label per text")
    if labels.calibrate is not None and os.path.realpath(labels.calibrate) == os.path.realpath(
        data
    ):
        raise UsageError(f"--calibrate {labels.calibrate} is also DATA; use another file")
    folders, settings = bootstrap.start(console, general, model)
    template = read.load_template(folders, options)
    reads = bootstrap.input_files(template, data, *labels.files)
    if plot is None or output.path is not None:
        output.check(console, reads=reads)
    if plot is not None:
        labels_plot.check(console, plot, reads=reads, overwrite=output.overwrite)
    chosen = read.read_options(
        console, options, labels, text_field=text_field, label_field=label_field
    )
    names = read.read_labels(console, labels.label)
    with console.interrupts.interruptible():
        texts = read_labelled_texts(
            data, text_field=text_field, label_field=label_field, split=split
        )
    if names is None and not options.template:
        names = dict.fromkeys(sorted({label for _, label in texts}), "")
    read.report_skipped_examples(console, chosen, template, names)
    chosen = msgspec.structs.replace(chosen, template=template)
    scored = RecordProgress(console)

    def prepare(context: TaskContext) -> Classifier:
        classifier = prepare_classifier(
            context,
            names,
            chosen,
            on_scored=lambda n_scored: scored(n_scored, len(texts)),
            on_choice=choice_progress(console),
        )
        conditions.check_labels(limits, classifier.names)
        return classifier

    context, classifier = bootstrap.open_task(
        console, folders, settings, model, prepare, output.path, plot
    )
    if labels.calibrate is not None:
        calibrate(
            console,
            context,
            classifier,
            labels.calibrate,
            text_field=text_field,
            label_field=label_field,
        )
    with scored:
        found = measure.evaluate(context, classifier, texts)
    if labels.balanced:
        console.note("--balanced: assuming equally frequent labels in these texts")
    others: list[measure.Baseline] = []
    if compare:
        for form in measure.FORMS:
            for calibrated in (True, False):
                with RecordProgress(console, f"as a {form}: ") as progress:
                    others.append(
                        measure.evaluate_variant(
                            context,
                            names,
                            chosen,
                            texts,
                            form=form,
                            calibrated=calibrated,
                            on_progress=progress,
                        )
                    )
    if baselines:
        for generation in (measure.constrained_generation, measure.free_generation):
            with RecordProgress(console, "generated: ") as progress:
                others.append(generation(context, classifier.names, texts, on_progress=progress))
    if plot is not None:
        title = f"{classifier.template.name} on {classifier.model}"
        labels_plot.draw(console, found, plot, title=title)
    evaluation.write(console, found, others, output)
    if unmet := conditions.find_unmet(limits, found):
        if github:
            for message in unmet:
                console.stdout.write(
                    annotation("error", message, title="llmtool classify eval", file=data)
                )
        raise LowConfidence("; ".join(unmet))
