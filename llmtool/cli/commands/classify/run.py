"""Parts of `classify`: input, calibration, batches and exit codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from llmtool.batch.readers import Record
from llmtool.cli import batch as batches
from llmtool.cli.commands.classify.options import VerdictOptions
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Input
from llmtool.cli.terminal.progress import WorkProgress
from llmtool.errors import ContextOverflow, LlmtoolError, LowConfidence
from llmtool.sizes import format_count
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.classify.explain import SentenceWeight, explain
from llmtool.tasks.classify.labelled_texts import read_labelled_texts
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.tasks.results import Classification, Result

_MAX_COUNTED_LABELS = 12  # in the summary of a batch


def classify(
    context: TaskContext, classifier: Classifier, case: Case, *, with_weights: bool
) -> tuple[Classification, tuple[SentenceWeight, ...]]:
    """Return the classification of a text, and the weights of its sentences on request."""
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


def gather(console: Console, text: str | None, input: Input) -> tuple[str | None, str | None]:
    """Return the argument, or files and standard input, which an argument excludes."""
    ignores_stdin = text is not None and text != "-"
    if ignores_stdin and not input.no_stdin:
        inputs.note_unread(console, "TEXT")
    return inputs.gather(
        console,
        text,
        msgspec.structs.replace(input, no_stdin=True) if ignores_stdin else input,
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
    """Fit the scores to a file of labelled texts, save the fit and report the improvement."""
    with console.interrupts.interruptible():
        texts = read_labelled_texts(path, text_field=text_field, label_field=label_field)
    fit = classifier.calibrate(context.engine, texts)
    (accuracy, new_accuracy), (ece, new_ece) = fit.accuracy, fit.ece
    console.note(
        f"saved calibration on {fit.n_texts} texts: accuracy {accuracy:.2f} → {new_accuracy:.2f}, "
        f"calibration error {ece:.2f} → {new_ece:.2f}"
    )


def choice_progress(console: Console) -> Callable[[int, int], None]:
    """Return a function that shows how many prompts were scored to choose a recipe."""
    progress = WorkProgress("prompts", name="comparing recipes")

    def show(n_scored: int, total: int) -> None:
        progress.update(n_scored, total)
        console.status(progress())

    return show


def run_batch(
    console: Console,
    context: TaskContext,
    classifier: Classifier,
    opened: batches.Batch,
    given: frozenset[str],
    *,
    verdict: VerdictOptions,
) -> None:
    """Print the rows of a batch and count its labels; fail for an unwanted one."""
    mapping = RecordMapping(template=classifier.template, field=opened.options.field, given=given)
    tally = _Tally(console, verdict)
    failed: LlmtoolError | None = None
    try:
        batches.run(
            console,
            context,
            classifier,
            mapping,
            opened,
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


def may_abstain(options: ClassifyOptions) -> bool:
    """Return whether a threshold is set."""
    bounds = (options.min_confidence, options.min_margin, options.min_coverage)
    return bounds != (None, None, None)


def _is_unwanted(names: list[str], verdict: VerdictOptions) -> bool:
    if any(name in verdict.fail_on for name in names):
        return True
    return bool(verdict.expect) and not any(name in verdict.expect for name in names)


def check_verdict(result: Classification, verdict: VerdictOptions, *, may_abstain: bool) -> None:
    """Fail for an unwanted label."""
    names = result.text.splitlines()
    if may_abstain and not names:
        raise LowConfidence(f"no label: {result.reason}")
    if _is_unwanted(names, verdict):
        found = ", ".join(names) or "none"
        if any(name in verdict.fail_on for name in names):
            raise LowConfidence(f"the label is {found}, listed in --fail-on")
        raise LowConfidence(f"the label is {found}, expected {' or '.join(verdict.expect)}")
