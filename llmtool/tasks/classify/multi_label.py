"""Multi-label classification: each label is a separate yes-or-no question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.arguments import check_range
from llmtool.engine.types import Engine
from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.classify.calibration import Calibration
from llmtool.tasks.classify.classifier import Classifier, OnScored, chunk_warnings
from llmtool.tasks.classify.labels import Label, make_labels
from llmtool.tasks.classify.scores import ScoredRequest
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.results import Classification, total_usage

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

THRESHOLD = 0.5
_INPUTS = ("label", "description")


class MultiLabelClassifier(Classifier):
    """Scores for each label whether it fits a text.

    The score of a label is the sigmoid of the log-odds of yes against no, minus those of neutral
    sentences. The scores do not add up to 1. Labels with a score of at least `min_confidence`
    (default 0.5) fit.

    Args:
        template: has an input `label`, and the outputs yes and no.

    Raises:
        UsageError: the template has no such input, or an option does not support several labels.
    """

    def __init__(
        self,
        context: TaskContext,
        template: Template,
        labels: tuple[Label, ...],
        options: ClassifyOptions,
        *,
        on_scored: OnScored | None = None,
    ) -> None:
        if "label" not in template.inputs:
            raise UsageError(
                f"template {template.name!r} has no input 'label', which "
                f"{option('multi', True)} needs"
            )
        for name in ("examples", "prior", "min_margin", "min_coverage"):
            if getattr(options, name):
                raise UsageError(f"{option(name)} cannot be used with {option('multi', True)}")
        if options.calibrate == "balanced":
            raise UsageError(f"a balanced batch cannot be used with {option('multi', True)}")
        # A calibration on labelled texts does not apply to these questions.
        calibrate = "anchors" if options.calibrate == "auto" else options.calibrate
        threshold = options.min_confidence
        self._threshold = THRESHOLD if threshold is None else threshold
        super().__init__(
            context,
            template,
            make_labels(["yes", "no"]),
            msgspec.structs.replace(options, min_confidence=None, calibrate=calibrate),
            on_scored=on_scored,
            questions=[
                {
                    name: value
                    for name, value in zip(_INPUTS, (each.name, each.description), strict=True)
                    if name in template.inputs
                }
                for each in labels
            ],
        )
        check_range("min_confidence", self._threshold, 0, 1)
        self._all_labels = labels
        self.names = [label.name for label in labels]

    def calibrate(self, engine: Engine, texts: Sequence[tuple[str, str]]) -> Calibration:
        raise UsageError(f"calibration cannot be used with {option('multi', True)}")

    @property
    def columns(self) -> list[str]:
        return ["labels", "scores"]

    def classify(self, scored: Sequence[ScoredRequest]) -> Classification:
        """Return all labels that fit; the scores are grouped by label, with one per chunk."""
        n_chunks = len(scored) // len(self._all_labels)
        groups = [scored[i * n_chunks : (i + 1) * n_chunks] for i in range(len(self._all_labels))]
        scores = [self.mean_probabilities(group, question=i)[0] for i, group in enumerate(groups)]
        fitting = [
            label
            for label, score in sorted(
                zip(self._all_labels, scores, strict=True), key=lambda x: -x[1]
            )
            if score >= self._threshold
        ]
        values = tuple(label.name if label.value is None else label.value for label in fitting)
        raw = [group[0].scores.totals for group in groups]
        return Classification(
            text="\n".join(label.name for label in fitting),
            label=None,
            labels=values,
            score=max(scores),
            scores=dict(zip(self.names, scores, strict=True)),
            logprobs={n: row[0] - row[1] for n, row in zip(self.names, raw, strict=True)},
            bias={
                name: self.bias.correction(i).bias[0] - self.bias.correction(i).bias[1]
                for i, name in enumerate(self.names)
            },
            coverage=min(sum(map(math.exp, row)) for row in raw),
            form=self.template.form,
            reason=None if fitting else f"all scores are below {self._threshold:g}",
            model=self.model,
            usage=total_usage(each.scores.usage for each in scored),
            seconds=max(each.seconds for each in scored),
            warnings=chunk_warnings(n_chunks),
        )
