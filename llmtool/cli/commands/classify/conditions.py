"""Conditions of `classify eval --fail-under`, such as accuracy=0.9 or recall:spam=80%."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.errors import UsageError
from llmtool.tasks.classify.evaluate import METRICS, METRICS_OF_A_LABEL, Evaluation
from llmtool.tasks.classify.labels import normalize_label, unknown_label

_NAMES = [*METRICS, *(f"{name}:LABEL" for name in METRICS_OF_A_LABEL)]
_TOLERANCE = 1e-9


class Condition(msgspec.Struct, frozen=True):
    """The lowest accepted value of a metric, of all texts or of one label."""

    metric: str
    label: str | None
    minimum: float

    @property
    def name(self) -> str:
        return self.metric if self.label is None else f"{self.metric}:{self.label}"


def parse(text: str) -> Condition:
    """Return the condition METRIC=VALUE or METRIC:LABEL=VALUE.

    Example:
        >>> parse("accuracy=0.9").minimum, parse("recall:a=b=80%").label
        (0.9, 'a=b')
    """
    name, separator, value = text.rpartition("=")
    if not separator:
        raise UsageError(f"--fail-under {text}: must have the form METRIC=VALUE")
    metric, colon, label = name.strip().partition(":")
    metric = metric.strip().lower().replace("_", "-")
    if metric not in (METRICS_OF_A_LABEL if colon else METRICS) or (colon and not label.strip()):
        raise UsageError(
            f"--fail-under {text}: unknown metric {name.strip()!r}; use one of {', '.join(_NAMES)}"
        )
    return Condition(metric, label.strip() if colon else None, _parse_value(text, value.strip()))


def _parse_value(text: str, value: str) -> float:
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise UsageError(f"--fail-under {text}: the value must be between 0 and 1, or 0% and 100%")
    return number


def check_labels(conditions: Sequence[Condition], names: Sequence[str]) -> None:
    """Check that the labels of conditions exist."""
    known = {normalize_label(name) for name in names}
    for each in conditions:
        if each.label is not None and normalize_label(each.label) not in known:
            raise unknown_label(each.label, names)


def find_unmet(conditions: Sequence[Condition], found: Evaluation) -> list[str]:
    """Return a message for each condition that an evaluation does not meet."""
    messages = []
    for each in conditions:
        value = found.metric(each.metric, each.label)
        if value is None:
            messages.append(f"{each.name} is not defined: no text has or gets this label")
        elif value < each.minimum - _TOLERANCE:
            messages.append(f"{each.name} {value:.4f} is below {each.minimum:g}")
    return messages
