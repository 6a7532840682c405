"""What tuning returns: the candidates that were tried, the figures, and the new template."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtool.short_repr import short_repr
from llmtool.tuning.schedule import Schedule


class TuningPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do.

    The records of the data are in three parts, `n_examples`, `n_selection` and `n_final`, without
    the `n_duplicates`. `schedule` has the numbers of records to run, at most `n_calls`.
    """

    template: str
    metric: str
    budget: int
    n_records: int
    n_duplicates: int
    n_examples: int
    n_selection: int
    n_final: int
    schedule: Schedule
    n_calls: int


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate: its changes, and its mean score on `n_records` of the records for selection.

    `scores` are the means after each of its rounds, by the number of records. `interval` is the
    95 % interval of `score`.
    """

    form: str
    examples: str
    n_examples: int
    wording: str
    text: str
    n_records: int
    score: float
    interval: tuple[float, float]
    scores: dict[str, float]
    is_original: bool = False
    is_best: bool = False

    @property
    def name(self) -> str:
        """A short name, such as `chat, 4 diverse`."""
        parts = [self.form, self.examples if self.examples != "original" else ""]
        parts.append("" if self.wording == "original" else f"wording {self.wording}")
        return ", ".join(filter(None, parts))


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Mean scores of the original and the tuned template on `n_records` not used for tuning.

    Intervals are 95 % intervals; that of the `difference` is paired.
    """

    n_records: int
    original: float
    original_interval: tuple[float, float]
    tuned: float
    tuned_interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the difference is above 0."""
        return self.difference_interval[0] > 0


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The result of tuning a template.

    `trials` are the candidates, best first. `is_calibrated`: the labels of the best one were
    calibrated on the records for selection. `final` is null if no candidate was better than the
    original on these, and `is_better` says whether the best one is better on the final part. `text`
    is the content of the template file. `n_calls` counts the records that were run.
    """

    template: str
    name: str
    model: str
    metric: str
    plan: TuningPlan
    trials: tuple[Trial, ...]
    is_calibrated: bool
    final: Comparison | None
    is_better: bool
    n_calls: int
    seconds: float
    text: str

    __repr__ = short_repr("template", "model", "is_better")

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, strings and numbers, ready for JSON."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value
