"""Run `classify`: one text or a batch, calibration and exit codes."""

from __future__ import annotations

from collections import Counter

import msgspec

from llmtool.batch.readers import Reader, Record
from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.commands.classify.labels import (
    load_template,
    read_labels,
    read_options,
    report_skipped_examples,
)
from llmtool.cli.commands.classify.options import LabelOptions, VerdictOptions
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.render.classification import classification
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check
from llmtool.cli.terminal.progress import RecordProgress
from llmtool.errors import ContextOverflow, LlmtoolError, LowConfidence, UsageError
from llmtool.sizes import format_count
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.classify.explain import SentenceWeight, explain
from llmtool.tasks.classify.labelled_texts import read_labelled_texts
from llmtool.tasks.classify.labels import unknown_label
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, bind_inputs
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.tasks.results import Classification, Result

_MAX_COUNTED_LABELS = 12  # in the summary of a batch


def classify(
    console: Console,
    text: str | None,
    options: ClassifyOptions,
    *,
    labels: LabelOptions,
    verdict: VerdictOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print the label of one text, or the rows of a batch.

    Raises:
        LowConfidence: the label is in `fail_on`, not in `expect`, or too uncertain; the result is
            printed first.
        LlmtoolError: the input, the template, the labels or the model cannot be used.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
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
    if labels.balanced and batch.each is None:
        raise UsageError("--balanced needs a batch; add --each line, jsonl, csv or file")
    if labels.balanced and batch.resume:
        raise UsageError("--balanced and --resume cannot be combined; use --overwrite")
    template = load_template(folders, options)
    chosen = read_options(options, labels)
    names = read_labels(console, labels.label)
    reads = bootstrap.input_files(template, *labels.files, *input.files)
    fits_only = False
    prompt = material = reader = None
    if batch.each is not None:
        if text is not None:
            raise UsageError(
                "TEXT and --each cannot be combined; a batch reads its texts from input"
            )
        reader = batches.open_reader(console, batch, input, output, reads=reads)
    else:
        batch.check_unused()
        check(output.path, reads=reads)
        if labels.calibrate is not None and text is None and not input.files:
            material = None if input.no_stdin else inputs.read_optional_stdin(console)
            fits_only = material is None
        else:
            prompt, material = _gather(console, text, input)
    report_skipped_examples(console, chosen, template, names)
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    scored = RecordProgress(console, "scored: ")

    def show_scored(n_scored: int) -> None:
        if reader is not None and labels.balanced:  # other batches print rows meanwhile
            scored(n_scored, batch.limit or reader.n_expected)

    chosen = msgspec.structs.replace(chosen, template=template)
    classifier = prepare_classifier(context, names, chosen, on_scored=show_scored)
    for name in (*verdict.fail_on, *verdict.expect):
        if name not in classifier.names:
            raise unknown_label(name, classifier.names)
    if labels.calibrate is not None:
        calibrate(console, context, classifier, labels.calibrate)
        if fits_only:
            return
    given = frozenset(options.variables)
    if reader is not None:
        with scored:
            _run_batch(
                console,
                context,
                classifier,
                reader,
                given,
                batch=batch,
                output=output,
                verdict=verdict,
            )
        return
    case = bind_inputs(classifier.template, prompt=prompt, input=material, given=given)
    if output.dry_run:
        show.prompt(console, context, classifier.request(case), as_json=output.json)
        return
    result, weights = _classify(context, classifier, case, with_weights=verdict.explain)
    classification(
        console, result, output=output, top=verdict.top, scores=verdict.scores, weights=weights
    )
    may_abstain = _may_abstain(options)
    if result.reason and not may_abstain and output.path is None:
        console.note(f"no label: {result.reason}")
    _check_verdict(result, verdict, may_abstain=may_abstain)


def _classify(
    context: TaskContext, classifier: Classifier, case: Case, *, with_weights: bool
) -> tuple[Classification, tuple[SentenceWeight, ...]]:
    try:
        if with_weights:
            return explain(classifier, context.engine, case)
        return classifier.classify_one(context.engine, case), ()
    except ContextOverflow as exc:
        raise ContextOverflow(
            f"{exc} (or use --overflow chunk)",
            needed=exc.needed,
            available=exc.available,
        ) from exc


def _gather(
    console: Console, text: str | None, input: g.InputOptions
) -> tuple[str | None, str | None]:
    """Return the argument, or files and standard input, which an argument excludes."""
    ignores_stdin = text is not None and text != "-"
    if ignores_stdin and not input.no_stdin:
        inputs.note_unread(console, "TEXT")
    return inputs.gather(
        console,
        text,
        input.files,
        no_stdin=input.no_stdin or ignores_stdin,
        errors=input.errors,
        what="text",
        advice="pass it as an argument, pipe it in, or use -f FILE",
    )


def calibrate(
    console: Console,
    context: TaskContext,
    classifier: Classifier,
    path: str,
    *,
    text_field: str | None = None,
    label_field: str = "label",
) -> None:
    """Fit the scores to a file of labelled texts, save the fit and report the improvement.

    Raises:
        UsageError, InputError: there are too few texts, a label has none, or the file is invalid.
    """
    texts = read_labelled_texts(path, text_field=text_field, label_field=label_field)
    fit = classifier.calibrate(context.engine, texts)
    (accuracy, new_accuracy), (ece, new_ece) = fit.accuracy, fit.ece
    console.note(
        f"saved calibration on {fit.n_texts} texts: accuracy {accuracy:.2f} → {new_accuracy:.2f}, "
        f"calibration error {ece:.2f} → {new_ece:.2f}"
    )


def _run_batch(
    console: Console,
    context: TaskContext,
    classifier: Classifier,
    reader: Reader,
    given: frozenset[str],
    *,
    batch: g.BatchOptions,
    output: g.OutputOptions,
    verdict: VerdictOptions,
) -> None:
    mapping = RecordMapping(template=classifier.template, field=batch.field, given=given)
    if output.dry_run:
        batches.preview(console, context, classifier, mapping, reader, output=output)
        return
    tally = _Tally(console, verdict)
    failed: LlmtoolError | None = None
    try:
        batches.run(
            console,
            context,
            classifier,
            mapping,
            reader,
            batch=batch,
            output=output,
            on_outcome=tally.count,
        )
    except LlmtoolError as exc:
        failed = exc
    tally.conclude()
    if failed is not None:
        raise failed
    if tally.n_unwanted:
        raise LowConfidence(
            f"{format_count(tally.n_unwanted, 'record')} with an unexpected label; "
            f"first: {tally.first_unwanted}"
        )


class _Tally:
    """Counts the labels of a batch for its summary."""

    def __init__(self, console: Console, verdict: VerdictOptions) -> None:
        self._console = console
        self._verdict = verdict
        self._labels: Counter[str] = Counter()
        self._scores: list[float] = [0.0, 0.0]  # sum, number
        self._n_abstained = self.n_unwanted = 0
        self.first_unwanted = ""

    def count(self, record: Record, outcome: Result | LlmtoolError) -> None:
        if not isinstance(outcome, Classification):
            return
        names = outcome.text.splitlines()
        self._labels.update(names)
        self._n_abstained += not names
        self._scores[0] += outcome.score
        self._scores[1] += 1
        if _is_unwanted(names, self._verdict):
            self.n_unwanted += 1
            found = ", ".join(names) or "no label"
            self.first_unwanted = self.first_unwanted or f"{record.place}: {found}"

    def conclude(self) -> None:
        total, n = self._scores
        if not n:
            return
        shown = self._labels.most_common(_MAX_COUNTED_LABELS)
        parts = [f"{name} {times}" for name, times in shown]
        if len(self._labels) > len(shown):
            parts.append(f"{len(self._labels) - len(shown)} more labels")
        if self._n_abstained:
            parts.append(f"no label {self._n_abstained}")
        self._console.note(f"{', '.join(parts)}; mean score {total / n:.2f}")


def _may_abstain(options: ClassifyOptions) -> bool:
    bounds = (options.min_confidence, options.min_margin, options.min_coverage)
    return bounds != (None, None, None)


def _is_unwanted(names: list[str], verdict: VerdictOptions) -> bool:
    if any(name in verdict.fail_on for name in names):
        return True
    return bool(verdict.expect) and not any(name in verdict.expect for name in names)


def _check_verdict(result: Classification, verdict: VerdictOptions, *, may_abstain: bool) -> None:
    """Fail for an unwanted label.

    Raises:
        LowConfidence: the label is in `fail_on` or not in `expect`, or the classifier abstained.
    """
    names = result.text.splitlines()
    if may_abstain and not names:
        raise LowConfidence(f"no label: {result.reason}")
    if _is_unwanted(names, verdict):
        found = ", ".join(names) or "none"
        if any(name in verdict.fail_on for name in names):
            raise LowConfidence(f"the label is {found}, listed in --fail-on")
        raise LowConfidence(f"the label is {found}, expected {' or '.join(verdict.expect)}")
