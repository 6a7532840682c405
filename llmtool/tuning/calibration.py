"""Calibrate the labels of the best candidate on the scores that its selection has measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtool.errors import UsageError
from llmtool.tasks.classify.calibration import Calibration, calibrate
from llmtool.tasks.classify.classifier import MIN_CALIBRATION_TEXTS
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tuning.records import Record
from llmtool.tuning.runs import Run

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.tasks.pipeline.context import TaskContext

_N_FOLDS = 5


def fit_if_better(
    runs: Sequence[Run], records: Sequence[Record], labels: Sequence[str]
) -> Calibration | None:
    """Return a calibration on scored records if it makes labels of other records more accurate.

    Five-fold cross-validation compares it with the correction that the scores already have.
    """
    truth = [labels.index(record.expected or "") for record in records]
    if len(runs) < MIN_CALIBRATION_TEXTS or any(not run.totals for run in runs):
        return None
    accurate: list[float] = []
    for fold in range(_N_FOLDS):
        others = [i for i in range(len(runs)) if i % _N_FOLDS != fold]
        fitted = _fit([runs[i] for i in others], [truth[i] for i in others], len(labels))
        if fitted is None:
            return None
        accurate += calibrated_scores(fitted, runs[fold::_N_FOLDS], records[fold::_N_FOLDS], labels)
    if math.fsum(accurate) <= math.fsum(run.score for run in runs):
        return None
    return _fit(runs, truth, len(labels))


def calibrated_scores(
    fitted: Calibration, runs: Sequence[Run], records: Sequence[Record], labels: Sequence[str]
) -> list[float]:
    """Return the accuracy of each record with a calibration, 0 or 1."""
    found = []
    for run, record in zip(runs, records, strict=True):
        row = fitted.apply(run.totals) if run.totals else []
        best = max(range(len(row)), key=row.__getitem__, default=-1)
        found.append(float(best >= 0 and labels[best] == record.expected))
    return found


def save(
    context: TaskContext, template: Template, runs: Sequence[Run], records: Sequence[Record]
) -> None:
    """Fit the template on scored records, and save the calibration for `classify` and `run`."""
    classifier = prepare_classifier(context, None, ClassifyOptions(template=template))
    truth = classifier.label_indices(record.expected for record in records)
    classifier.bias.prepare(context.engine, use_calibration=False)
    classifier.bias.calibrate([run.totals for run in runs], truth)


def _fit(runs: Sequence[Run], truth: Sequence[int], n_labels: int) -> Calibration | None:
    if set(truth) != set(range(n_labels)):
        return None
    try:
        return calibrate([run.totals for run in runs], truth, start=runs[0].bias)
    except UsageError:  # the scores do not depend on the labels
        return None
