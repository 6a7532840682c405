"""Evaluate a classifier on labelled texts, and compare it with baselines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from llmtool.engine.types import Failed, Token
from llmtool.tasks.classify.calibration import expected_calibration_error
from llmtool.tasks.classify.labels import normalize_label
from llmtool.tasks.classify.metrics import accuracy, macro_f1
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions, GenerateOptions, SamplingOptions
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.prepare import Case, prepare
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from llmtool.tasks.classify.classifier import Classifier
    from llmtool.tasks.classify.labelled_texts import LabelledText
    from llmtool.tasks.classify.labels import Labels
    from llmtool.tasks.pipeline.context import TaskContext

FORMS: tuple[Literal["completion", "chat"], ...] = ("completion", "chat")
METRICS = ("accuracy", "macro-f1")
METRICS_OF_A_LABEL = ("precision", "recall", "f1")
N_MISTAKES = 10
_REPLY_TOKENS = 12
OnProgress = Callable[[int, int], None]  # (number of texts done, number of all texts)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A misclassified text; `score` is that of `label`, the wrong one."""

    input: str
    expected: str
    label: str
    score: float


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Texts with scores in a range: their number, mean score, and share of correct labels."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a classifier on labelled texts.

    `confusion[i][j]` counts texts of label i that got label j, shape (n_labels, n_labels). `ece` is
    the expected calibration error. `mistakes` has the `N_MISTAKES` with the highest scores.
    """

    n_texts: int
    accuracy: float
    macro_f1: float
    ece: float
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]
    texts_per_second: float
    calibrated: bool

    def metric(self, name: str, label: str | None = None) -> float | None:
        """Return one of `METRICS`, or one of `METRICS_OF_A_LABEL`, None if it is not defined."""
        if label is None:
            return {"accuracy": self.accuracy, "macro-f1": self.macro_f1}[name]
        i = [normalize_label(each) for each in self.labels].index(normalize_label(label))
        n_correct, n_expected = self.confusion[i][i], sum(self.confusion[i])
        n_found = sum(row[i] for row in self.confusion)
        part, whole = {
            "precision": (n_correct, n_found),
            "recall": (n_correct, n_expected),
            "f1": (2 * n_correct, n_expected + n_found),
        }[name]
        return part / whole if whole else None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The results of another method; `n_without_label` counts replies that contain no label."""

    name: str
    accuracy: float
    macro_f1: float
    n_without_label: int = 0
    texts_per_second: float


def evaluate(
    context: TaskContext, classifier: Classifier, data: Sequence[LabelledText]
) -> Evaluation:
    """Classify labelled texts and compare the results with their labels.

    Raises:
        UsageError: a text has a label that the classifier does not have.
    """
    names = classifier.names
    truth = classifier.label_indices(label for _, label in data)
    name = classifier.text_input or "text"
    cases = [Case(id=i, variables={name: text}) for i, (text, _) in enumerate(data)]
    started = time.perf_counter()
    outcomes = raise_failures(classifier.outcomes(context.engine, cases))
    rows = [[outcome.scores[name] for name in names] for outcome in outcomes]
    seconds = time.perf_counter() - started
    chosen = [max(range(len(row)), key=row.__getitem__) for row in rows]
    confusion = [[0] * len(names) for _ in names]
    for expected, found in zip(truth, chosen, strict=True):
        confusion[expected][found] += 1
    expected_names, found_names = [names[i] for i in truth], [names[i] for i in chosen]
    wrong = [
        Mistake(input=each.text, expected=e, label=f, score=round(max(row), 4))
        for each, e, f, row in zip(data, expected_names, found_names, rows, strict=True)
        if e != f
    ]
    return Evaluation(
        n_texts=len(rows),
        accuracy=accuracy(expected_names, found_names),
        macro_f1=macro_f1(expected_names, found_names, names),
        ece=expected_calibration_error(rows, truth),
        labels=tuple(names),
        confusion=tuple(map(tuple, confusion)),
        bins=reliability(rows, truth),
        mistakes=tuple(sorted(wrong, key=lambda each: -each.score)[:N_MISTAKES]),
        texts_per_second=len(rows) / seconds,
        calibrated=classifier.bias.calibration is not None,
    )


def reliability(
    rows: Sequence[Sequence[float]], truth: Sequence[int], *, n_bins: int = 10
) -> tuple[Bin, ...]:
    """Return the non-empty bins of a reliability curve.

    Example:
        >>> [(b.low, b.n, b.accuracy) for b in reliability([[0.9, 0.1], [0.95, 0.05]], [0, 1])]
        [(0.9, 2, 0.5)]
    """
    members: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for row, label in zip(rows, truth, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        members[min(int(row[best] * n_bins), n_bins - 1)].append((row[best], best == label))
    return tuple(
        Bin(
            low=i / n_bins,
            high=(i + 1) / n_bins,
            n=len(found),
            confidence=sum(score for score, _ in found) / len(found),
            accuracy=sum(right for _, right in found) / len(found),
        )
        for i, found in enumerate(members)
        if found
    )


def evaluate_variant(
    context: TaskContext,
    names: Labels | None,
    options: ClassifyOptions,
    data: Sequence[LabelledText],
    *,
    form: Literal["chat", "completion"],
    calibrated: bool,
    on_progress: OnProgress,
) -> Baseline:
    """Evaluate another form of the prompt, with or without correcting for the model's bias."""
    calibrate: Literal["auto", "none"] = "auto" if calibrated else "none"
    classifier = prepare_classifier(
        context,
        names,
        msgspec.structs.replace(options, form=form, calibrate=calibrate),
        on_scored=lambda n_scored: on_progress(n_scored, len(data)),
    )
    found = evaluate(context, classifier, data)
    return Baseline(
        name=f"scores, {form} form, {'bias corrected' if calibrated else 'raw'}",
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        texts_per_second=found.texts_per_second,
    )


def free_generation(
    context: TaskContext,
    names: Sequence[str],
    data: Sequence[LabelledText],
    *,
    on_progress: OnProgress,
) -> Baseline:
    """Evaluate the usual method: request the label in a chat, and search the reply for its name."""
    return _generate(
        "free generation",
        context,
        names,
        data,
        on_progress,
        read=lambda reply: find_label(reply, names),
    )


def constrained_generation(
    context: TaskContext,
    names: Sequence[str],
    data: Sequence[LabelledText],
    *,
    on_progress: OnProgress,
) -> Baseline:
    """Evaluate constrained generation: request the label in a chat, and allow only labels."""
    regex = f"({'|'.join(map(re.escape, names))})"
    return _generate("constrained generation", context, names, data, on_progress, regex=regex)


def find_label(reply: str, names: Sequence[str]) -> str | None:
    """Return the first label in a reply; the longest if several start at the same position.

    Example:
        >>> find_label("I think it's Sports.", ["sport", "sports", "news"])
        'sports'
    """
    text = reply.casefold()
    found = [
        (match.start(), -len(name), name)
        for name in names
        if (match := re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text))
    ]
    return min(found, default=(0, 0, None))[2]


def _generate(
    method: str,
    context: TaskContext,
    names: Sequence[str],
    data: Sequence[LabelledText],
    on_progress: OnProgress,
    *,
    regex: str | None = None,
    read: Callable[[str], str | None] = str,
) -> Baseline:
    """Evaluate generated labels; `read` finds the label in a reply."""
    prompt = (
        f"Classify the text as one of these: {', '.join(names)}. "
        "Answer with the label and nothing else."
    )
    longest = max(len(name.encode()) for name in names)  # a token has at least one byte
    max_tokens = max(_REPLY_TOKENS, longest + 4)
    sampling = SamplingOptions(temperature=0.0, max_tokens=max_tokens)
    prepared = prepare(context, GenerateOptions(sampling=sampling, regex=regex))
    cases = [Case(id=i, prompt=prompt, input=text) for i, (text, _) in enumerate(data)]
    started = time.perf_counter()
    found: list[str | None] = []
    for outcome in prepared.outcomes(context.engine, cases):
        if isinstance(outcome, Token):
            continue
        result: object = outcome
        if isinstance(outcome, Failed):
            result = getattr(outcome.error, "result", None)
            if not isinstance(result, Generation):
                raise outcome.error
        found.append(read(str(result)))
        on_progress(len(found), len(cases))
    seconds = time.perf_counter() - started
    spelling = {normalize_label(name): name for name in names}
    expected = [spelling.get(normalize_label(label), label) for _, label in data]
    return Baseline(
        name=method,
        accuracy=accuracy(expected, found),
        macro_f1=macro_f1(expected, found, names),
        n_without_label=sum(each not in names for each in found),
        texts_per_second=len(found) / seconds,
    )
