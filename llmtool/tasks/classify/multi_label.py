"""Multi-label classification: all labels whose score exceeds their threshold.

One prompt scores all labels. A label fits if its score is high compared with the others: its
centered log-ratio exceeds the label's threshold. The unit of log-ratios adapts to the model: it is
their spread on neutral sentences, to which no label applies, or on the text if that is less. The
bias is half that of neutral sentences and half that of sentences that name other labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

import msgspec

from llmtool.arguments import check_range
from llmtool.engine.types import Engine
from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.classify.calibration import Calibration, bias_of_neutral, bias_of_others
from llmtool.tasks.classify.classifier import (
    Classifier,
    OnScored,
    ScoredText,
    chunk_warnings,
)
from llmtool.tasks.classify.examples import read_multi_examples
from llmtool.tasks.classify.labels import Label
from llmtool.tasks.classify.recipe_choice import MAX_EXAMPLES, OnProgress
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification, total_usage

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

THRESHOLD = 0.5  # of scores
LIMIT = 1.0  # of log-ratios
NEAR_THRESHOLD = 0.05  # distance of a score
PRIOR_WEIGHT = 2  # number of examples that weigh as much as neutral sentences


class MultiLabelClassifier(Classifier):
    """Chooses all labels that fit a text.

    The score of a label is the sigmoid of its log-ratio minus its threshold, by default 1. The
    scores do not add up to 1. Labels with a score of at least `min_confidence` (default 0.5) fit.

    Examples, each with all its labels, move the threshold of a label towards the middle between
    the texts with and without it; at most `MAX_EXAMPLES` are scored.

    Raises:
        UsageError: an option does not support several labels, or an example is invalid.
    """

    def __init__(
        self,
        context: TaskContext,
        template: Template,
        labels: tuple[Label, ...],
        options: ClassifyOptions,
        *,
        on_scored: OnScored | None = None,
        on_choice: OnProgress,
    ) -> None:
        for name in ("prior", "min_margin", "min_coverage"):
            if getattr(options, name):
                raise UsageError(f"{option(name)} cannot be used with {option('multi', True)}")
        limit = options.min_confidence
        self._min_score = THRESHOLD if limit is None else limit
        check_range("min_confidence", self._min_score, 0, 1)
        text_input = template.primary_input() or "text"
        examples = read_multi_examples(options.examples or (), labels, text_input=text_input)
        self._examples = examples[:: -(-len(examples) // MAX_EXAMPLES) or 1]
        # A calibration on texts with one label does not apply to several, and a balanced batch is
        # combined with anchors.
        calibrate = "none" if options.calibrate == "none" else "anchors"
        super().__init__(
            context,
            template,
            labels,
            msgspec.structs.replace(
                options, examples=None, min_confidence=None, calibrate=calibrate
            ),
            on_scored=on_scored,
            on_choice=on_choice,
        )
        self._neutral_rows: list[list[float]] = []
        self._example_rows: list[list[float]] = []
        self._spread: float | None = None  # of neutral sentences
        self._limits = [LIMIT] * len(labels)

    def identity(self) -> bytes:
        return self.prompts.identity(super().identity(), self._min_score, self._examples)

    def prepare(self, engine: Engine, *, use_calibration: bool = True) -> None:
        """Measure the bias, and the thresholds, before the first text."""
        super().prepare(engine, use_calibration=use_calibration)
        neutral = self.prompts.neutral_requests()
        if neutral and self.options.calibrate != "none":
            self._neutral_rows = self.anchors.score(engine, self.prompts, neutral)
            if not self.prompts.held_out:
                requests, named = self.prompts.naming_requests()
                rows = self.anchors.score(engine, self.prompts, requests)
                self.use_mean(bias_of_neutral(self._neutral_rows), bias_of_others(rows, named))
        if self._examples:
            cases = [Case(variables=each.variables) for each in self._examples]
            requests = [
                msgspec.structs.replace(self.prompts.request(case), id=i)
                for i, case in enumerate(cases)
            ]
            self._example_rows = self.anchors.score(engine, self.prompts, requests)
        self.fit()

    def use_mean(self, one: Sequence[float], other: Sequence[float]) -> None:
        """Use the mean of two biases; their levels do not matter."""
        self.bias.use([(a + b) / 2 for a, b in zip(one, other, strict=True)])

    def fit(self) -> None:
        """Compute the unit of log-ratios, and the thresholds, for the present bias."""
        if self._neutral_rows:
            self._spread = fmean(pstdev(self._center(row)) for row in self._neutral_rows)
        if self._example_rows:
            self._limits = learn_limits(
                [self._log_ratios(row) for row in self._example_rows],
                [[name in each.labels for name in self.names] for each in self._examples],
            )

    def calibrate(self, engine: Engine, texts: Sequence[tuple[str, str]]) -> Calibration:
        raise UsageError(f"calibration cannot be used with {option('multi', True)}")

    @property
    def columns(self) -> list[str]:
        return ["labels", "scores", "near_tie"]

    def masked(self, cases: Iterable[Case]) -> Iterator[Case]:
        """Yield nothing: a label that is named often fits."""
        return iter(())

    def classify(self, scored: ScoredText) -> Classification:
        """Return all labels that fit, from the scores of a text's chunks, weighted by tokens."""
        raw = self.mean_totals(scored)
        scores = [
            _sigmoid(ratio - limit)
            for ratio, limit in zip(self._log_ratios(raw), self._limits, strict=True)
        ]
        ranked = sorted(zip(self.labels, scores, strict=True), key=lambda each: -each[1])
        fitting = [label for label, score in ranked if score >= self._min_score]
        correction = self.bias.correction
        return Classification(
            text="\n".join(label.name for label in fitting),
            label=None,
            labels=tuple(label.name if label.value is None else label.value for label in fitting),
            score=max(scores),
            scores=dict(zip(self.names, scores, strict=True)),
            logprobs=dict(zip(self.names, raw, strict=True)),
            bias=dict(zip(self.names, correction.bias, strict=True)),
            coverage=min(1.0, math.fsum(map(math.exp, raw))),
            scoring=scored.requests[0].scores.method,
            form=self.template.form,
            near_tie=any(abs(score - self._min_score) < NEAR_THRESHOLD for score in scores),
            reason=None if fitting else f"all scores are below {self._min_score:g}",
            model=self.model,
            usage=total_usage(each.scores.usage for each in scored.requests),
            seconds=max(each.seconds for each in scored.requests),
            warnings=chunk_warnings(scored.n_chunks),
        )

    def _log_ratios(self, row: Sequence[float]) -> list[float]:
        """Return centered log-probabilities in units of their spread; shape (n_labels,)."""
        centered = self._center(row)
        unit = pstdev(centered)
        if self._spread is not None:
            unit = self.unit(unit, self._spread)
        return [value / (unit or 1.0) for value in centered]

    def unit(self, spread: float, neutral_spread: float) -> float:
        """Return the unit of the log-ratios of a text, from its spread and that of neutral ones."""
        return min(neutral_spread, max(spread, neutral_spread / 2))

    def _center(self, row: Sequence[float]) -> list[float]:
        """Return corrected log-probabilities minus their mean; shape (n_labels,)."""
        corrected = self.bias.correction.apply(row)
        mean = fmean(corrected)
        return [value - mean for value in corrected]


def learn_limits(rows: Sequence[Sequence[float]], fits: Sequence[Sequence[bool]]) -> list[float]:
    """Return the threshold of each label, shape (n_labels,).

    It is half way between the mean of the examples with the label and the mean of the others,
    averaged with `LIMIT`, which counts as much as `PRIOR_WEIGHT` examples with the label.

    Args:
        rows: the log-ratios of the examples, shape (n_examples, n_labels).
        fits: whether an example has the label, of the same shape.

    Example:
        >>> learn_limits([[3.0], [1.0], [-2.0]], [[True], [True], [False]])
        [0.5]
    """
    limits = []
    for values, flags in zip(zip(*rows, strict=True), zip(*fits, strict=True), strict=True):
        inside = [value for value, flag in zip(values, flags, strict=True) if flag]
        outside = [value for value, flag in zip(values, flags, strict=True) if not flag]
        n = len(inside) if outside else 0
        middle = (fmean(inside) + fmean(outside)) / 2 if n else LIMIT
        limits.append((n * middle + PRIOR_WEIGHT * LIMIT) / (n + PRIOR_WEIGHT))
    return limits


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
