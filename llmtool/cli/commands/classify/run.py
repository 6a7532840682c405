"""What `classify` does with its options: labels, examples, one text or a batch, exit codes."""

from __future__ import annotations

from collections import Counter

import msgspec

from llmtool.batch.readers import Reader, Record
from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.commands.classify.labels import (
    load_template,
    read_options,
    report_skipped_examples,
)
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
from llmtool.tasks.classify.labels import no_such_label
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import Binding, fill
from llmtool.tasks.results import Classification, Result
from llmtool.toolbox import Toolbox

_MAX_NUMBERS = 12  # labels whose counts are told after a batch


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a result, beyond the label."""

    top: int | None = None
    scores: bool = False
    min_confidence: float | None = None
    min_margin: float | None = None
    min_coverage: float | None = None
    fail_on: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    explain: bool = False

    @property
    def may_abstain(self) -> bool:
        return (self.min_confidence, self.min_margin, self.min_coverage) != (None, None, None)


def classify(
    console: Console,
    text: str | None,
    *,
    labels: g.LabelsGroup,
    wanted: Wanted,
    overflow: str,
    source: g.SourceGroup,
    view: g.PrintGroup,
    batch: g.BatchGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print what one text is, or the rows of a batch.

    Raises:
        LowConfidence: a label of `fail_on` was met, or none of `expect`, or nothing is sure enough;
            the result is printed before.
        LlmtoolError: as classifying says.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    if wanted.explain and (labels.multi or batch.each is not None):
        raise UsageError("--explain is about one text and one label, without --each or --multi")
    if batch.each is not None and (wanted.top is not None or wanted.scores):
        raise UsageError("--top and --scores are about one text; a batch has scores in its rows")
    if labels.calibrate is not None and view.dry_run:
        raise UsageError("--calibrate runs the model, which --dry-run does not")
    if labels.balanced and (batch.each is None or batch.resume):
        raise UsageError("--balanced is for a batch as a whole: with --each, and without --resume")
    template = load_template(folders, labels)
    names, options = read_options(console, labels, template)
    options = msgspec.structs.replace(
        options,
        min_confidence=wanted.min_confidence,
        min_margin=wanted.min_margin,
        min_coverage=wanted.min_coverage,
        overflow="chunk" if overflow == "chunk" else "error",
    )
    reads = bootstrap.input_files(template, *labels.reads, *(source.file or []))
    fits_only = False
    prompt = material = reader = None
    if batch.each is not None:
        if text is not None:
            raise UsageError("a text and --each exclude each other: a batch brings its own texts")
        reader = batches.open_reader(console, batch, source, view, reads=reads)
    else:
        batches.refuse(batch)
        check(view.output, reads=reads)
        if labels.calibrate is not None and text is None and not source.file:
            material = None if source.no_stdin else inputs.read_optional_stdin(console)
            fits_only = material is None
        else:
            prompt, material = _gather(console, text, source)
    report_skipped_examples(console, template, labels, names)
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    scored = RecordProgress(console, "scored: ")

    def show_scored(n_scored: int) -> None:
        if reader is not None and labels.balanced:  # other batches show their rows
            scored(n_scored, batch.limit or reader.n_expected)

    labelling = box.prepare_labels(names, options, on_scored=show_scored)
    for name in (*wanted.fail_on, *wanted.expect):
        if name not in labelling.names:
            raise no_such_label(name, labelling.names)
    if labels.calibrate is not None:
        calibrate(console, box, labelling, labels.calibrate)
        if fits_only:
            return
    given = frozenset(options.variables)
    if reader is not None:
        with scored:
            _run_batch(
                console, box, labelling, reader, given, batch=batch, view=view, wanted=wanted
            )
        return
    case = fill(labelling.template, prompt=prompt, input=material, given=given)
    if view.dry_run:
        first = Case(variables={**case.variables, **labelling.questions[0]})
        show.prompt(console, box, labelling.request(first), as_json=view.json)
        return
    result, weights = _classify(box, labelling, case, with_weights=wanted.explain)
    classification(
        console, result, view=view, top=wanted.top, scores=wanted.scores, weights=weights
    )
    if result.reason and not wanted.may_abstain and view.output is None:
        console.note(f"no label: {result.reason}")
    _judge(result, wanted)


def _classify(
    box: Toolbox, classifier: Classifier, case: Case, *, with_weights: bool
) -> tuple[Classification, tuple[SentenceWeight, ...]]:
    try:
        if with_weights:
            return explain(classifier, box.engine, case)
        return classifier.classify_one(box.engine, case), ()
    except ContextOverflow as exc:
        raise ContextOverflow(
            f"{exc} (--overflow chunk scores it in parts)",
            needed=exc.needed,
            available=exc.available,
        ) from exc


def _gather(
    console: Console, text: str | None, source: g.SourceGroup
) -> tuple[str | None, str | None]:
    """Return an argument, or material; standard input is left alone beside an argument."""
    beside = text is not None and text != "-"
    if beside and not source.no_stdin:
        inputs.note_unread(console, "the text")
    return inputs.gather(
        console,
        text,
        source.file or [],
        no_stdin=source.no_stdin or beside,
        errors=source.errors.value,
    )


def calibrate(
    console: Console,
    box: Toolbox,
    labelling: Classifier,
    path: str,
    *,
    text_field: str | None = None,
    label_field: str = "label",
) -> None:
    """Fit the scores to a file of labelled texts, keep the fit, and say what it came to.

    Raises:
        UsageError, InputError: the texts are too few, lack a label, or are broken.
    """
    texts = read_labelled_texts(path, text_field=text_field, label_field=label_field)
    fit = labelling.fit(box.engine, texts)
    (before, after), (worse, better) = fit.accuracy, fit.ece
    console.note(
        f"calibrated on {fit.n_texts} texts and kept: accuracy {before:.2f} to {after:.2f}, "
        f"calibration error {worse:.2f} to {better:.2f} on these texts"
    )


def _run_batch(
    console: Console,
    box: Toolbox,
    labelling: Classifier,
    reader: Reader,
    given: frozenset[str],
    *,
    batch: g.BatchGroup,
    view: g.PrintGroup,
    wanted: Wanted,
) -> None:
    binding = Binding(template=labelling.template, field=batch.field, given=given)
    if view.dry_run:
        batches.preview(console, box, labelling, binding, reader, view=view)
        return
    tally = _Tally(console, wanted)
    failed: LlmtoolError | None = None
    try:
        batches.run(
            console, box, labelling, binding, reader, batch=batch, view=view, on_outcome=tally.count
        )
    except LlmtoolError as exc:
        failed = exc
    tally.conclude()
    if failed is not None:
        raise failed
    if tally.n_unwanted:
        raise LowConfidence(
            f"{format_count(tally.n_unwanted, 'record')} with a label that --fail-on names, "
            f"or none that --expect does; the first: {tally.first_unwanted}"
        )


class _Tally:
    """How often each label came, for the summary of a batch."""

    def __init__(self, console: Console, wanted: Wanted) -> None:
        self._console = console
        self._wanted = wanted
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
        if _is_unwanted(names, self._wanted):
            self.n_unwanted += 1
            told = ", ".join(names) or "no label"
            self.first_unwanted = self.first_unwanted or f"{record.place}: {told}"

    def conclude(self) -> None:
        total, n = self._scores
        if not n:
            return
        shown = self._labels.most_common(_MAX_NUMBERS)
        parts = [f"{name} {times}" for name, times in shown]
        if len(self._labels) > len(shown):
            parts.append(f"{len(self._labels) - len(shown)} more labels")
        if self._n_abstained:
            parts.append(f"no label {self._n_abstained}")
        self._console.note(f"{', '.join(parts)}; mean score {total / n:.2f}")


def _is_unwanted(names: list[str], wanted: Wanted) -> bool:
    if any(name in wanted.fail_on for name in names):
        return True
    return bool(wanted.expect) and not any(name in wanted.expect for name in names)


def _judge(result: Classification, wanted: Wanted) -> None:
    """Raise for what the caller asked to fail on.

    Raises:
        LowConfidence: the label is unwanted, or there is none.
    """
    names = result.text.splitlines()
    if wanted.may_abstain and not names:
        raise LowConfidence(f"no label: {result.reason}")
    if _is_unwanted(names, wanted):
        told = ", ".join(names) or "none"
        named = [*wanted.fail_on] if any(n in wanted.fail_on for n in names) else []
        why = "which --fail-on names" if named else f"not {' or '.join(wanted.expect)}"
        raise LowConfidence(f"the label is {told}, {why}")
