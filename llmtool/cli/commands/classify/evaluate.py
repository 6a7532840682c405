"""`llmtool classify eval`: measure accuracy and calibration on labelled texts."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.classify import plot as labels_plot
from llmtool.cli.commands.classify.labels import (
    load_template,
    read_labels,
    read_options,
    report_skipped_examples,
)
from llmtool.cli.commands.classify.options import LabelOptions
from llmtool.cli.commands.classify.run import calibrate
from llmtool.cli.options import groups as g
from llmtool.cli.render import tables
from llmtool.cli.render.classification import bar
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.cli.terminal.progress import RecordProgress
from llmtool.errors import UsageError
from llmtool.tasks.classify import evaluate as measure
from llmtool.tasks.classify.evaluate import Baseline, Evaluation
from llmtool.tasks.classify.labelled_texts import read_labelled_texts
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions

_SHOWN_MISTAKES, _SHOWN_LABELS = 5, 12


def run(
    console: Console,
    data: str,
    options: ClassifyOptions,
    *,
    text_field: str | None,
    label_field: str,
    split: str | None,
    labels: LabelOptions,
    baselines: bool,
    compare: bool,
    plot: str | None,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print accuracy, calibration and mistakes on labelled texts.

    Raises:
        UsageError: options cannot be combined, or a label is unknown.
        InputError: the data is invalid.
    """
    if options.multi:
        raise UsageError("eval does not support --multi; it measures one label per text")
    if labels.calibrate is not None and os.path.realpath(labels.calibrate) == os.path.realpath(
        data
    ):
        raise UsageError(f"--calibrate {labels.calibrate} is also DATA; use another file")
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    template = load_template(folders, options)
    reads = bootstrap.input_files(template, data, *labels.files)
    check(output.path, reads=reads)
    if plot is not None:
        labels_plot.check(plot, reads=reads)
    chosen = read_options(options, labels, text_field=text_field, label_field=label_field)
    names = read_labels(console, labels.label)
    texts = read_labelled_texts(data, text_field=text_field, label_field=label_field, split=split)
    if names is None and not options.template:
        names = dict.fromkeys(sorted({label for _, label in texts}), "")
    report_skipped_examples(console, chosen, template, names)
    chosen = msgspec.structs.replace(chosen, template=template)
    context = bootstrap.open_context(console, folders, settings, model, output.path, plot)
    scored = RecordProgress(console)
    classifier = prepare_classifier(
        context, names, chosen, on_scored=lambda n_scored: scored(n_scored, len(texts))
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
    others: list[Baseline] = []
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
        labels_plot.draw(found, plot, title=f"{classifier.template.name} on {classifier.model}")
    with open_sink(console, output.path) as sink:
        if output.json:
            sink.write_json(
                {**msgspec.to_builtins(found), "baselines": msgspec.to_builtins(others)}
            )
        elif sink.is_terminal:
            _draw(console, found, others)
        else:
            for name, value in _figures(found):
                sink.write(f"{name}\t{value}\n")
            for each in others:
                sink.write(f"{each.name}\t{each.accuracy:.3f}\t{each.macro_f1:.3f}\n")


def _figures(found: Evaluation) -> list[tuple[str, str]]:
    return [
        ("texts", str(found.n_texts)),
        ("accuracy", f"{found.accuracy:.3f}"),
        ("macro-F1", f"{found.macro_f1:.3f}"),
        ("expected calibration error", f"{found.ece:.3f}"),
        ("calibrated on labelled texts", "yes" if found.calibrated else "no"),
        ("texts per second", f"{found.texts_per_second:.1f}"),
    ]


def _draw(console: Console, found: Evaluation, others: list[Baseline]) -> None:
    tables.fields(console, _figures(found))
    if others:
        console.stdout.write("\n")
        tables.table(
            console,
            ["method", "accuracy", "macro-F1", "no label", "per second"],
            [
                (
                    each.name,
                    f"{each.accuracy:.3f}",
                    f"{each.macro_f1:.3f}",
                    str(each.n_without_label),
                    f"{each.texts_per_second:.1f}",
                )
                for each in others
            ],
            right=["accuracy", "macro-F1", "no label", "per second"],
        )
    if len(found.labels) <= _SHOWN_LABELS:
        console.stdout.write("\n")
        _confusion(console, found)
    else:
        console.note("too many labels to print the confusion matrix; use --plot FILE or --json")
    if found.mistakes:
        console.stdout.write("\n")
        tables.table(
            console,
            ["score", "label", "expected", "most confident mistakes"],
            [
                (f"{each.score:.2f}", each.label, each.expected, " ".join(each.text.split())[:300])
                for each in found.mistakes[:_SHOWN_MISTAKES]
            ],
            right=["score"],
        )


def _confusion(console: Console, found: Evaluation) -> None:
    """Print the confusion matrix; columns are numbered like the rows."""
    numbers = [str(i + 1) for i in range(len(found.labels))]
    rows: list[tuple[Any, ...]] = []
    for number, name, counts in zip(numbers, found.labels, found.confusion, strict=True):
        recall = counts[int(number) - 1] / max(sum(counts), 1)
        rows.append((f"{number} {name}", *map(str, counts), bar(recall, 10)))
    tables.table(console, ["expected", *numbers, "correct"], rows, right=numbers)
