"""Metrics of one reply, between 0 and 1, and intervals of their means."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import msgspec

from llmtool.errors import InputError, UsageError
from llmtool.evals.answers import Answer
from llmtool.option_names import option
from llmtool.prompts.asserts import find_failure
from llmtool.prompts.output import Output
from llmtool.tasks.classify.metrics import normalized
from llmtool.tuning.records import Record

Metric = Literal["accuracy", "fields", "assertions", "exact"]
METRICS: tuple[Metric, ...] = get_args(Metric)
_Z = 1.959964  # of a 95 % interval
_RESAMPLES = 2000


def choose_metric(metric: str | None, records: Sequence[Record], output: Output) -> Metric:
    """Return the metric, or the one that suits the template and the records if None.

    Raises:
        UsageError: the metric does not suit the output of the template.
        InputError: a record has nothing to compare with.

    Example:
        >>> from llmtool.prompts.output import Output
        >>> choose_metric(None, [], Output(kind="labels", labels={"a": "", "b": ""}))
        'accuracy'
    """
    if metric is None:
        chosen = _default(records, output)
    elif metric in METRICS:
        chosen = metric
    else:
        given = option("metric", metric)
        raise UsageError(f"{given}: must be one of {', '.join(METRICS)}")
    if (chosen == "accuracy") != (output.kind == "labels") or (
        chosen == "fields" and output.kind != "json"
    ):
        suits = "accuracy" if output.kind == "labels" else "exact or assertions"
        given = option("metric", chosen)
        raise UsageError(f"{given}: the output of the template is {output.kind}; use {suits}")
    for record in records:
        if chosen == "assertions":
            if not record.assertions:
                raise InputError(f"{record.place}: no assertions; add a column `assert`")
        elif record.expected is None:
            raise InputError(f"{record.place}: missing answer; add a column `expected`")
    return chosen


def _default(records: Sequence[Record], output: Output) -> Metric:
    if output.kind == "labels":
        return "accuracy"
    if any(record.assertions for record in records):
        return "assertions"
    return "fields" if output.kind == "json" else "exact"


def score(metric: Metric, record: Record, answer: Answer) -> float:
    """Return the score of an answer, 0 to 1; an invalid reply and an error have 0."""
    if answer.error is not None or answer.invalid is not None:
        return 0.0
    return _SCORES[metric](record, answer)


def _accuracy(record: Record, answer: Answer) -> float:
    return float(answer.reply.label == record.expected)


def _exact(record: Record, answer: Answer) -> float:
    return float(normalized(answer.reply.text) == normalized(record.expected or ""))


def _assertions(record: Record, answer: Answer) -> float:
    failures = [find_failure(each, answer.reply, record.variables) for each in record.assertions]
    return failures.count(None) / len(failures)


def _fields(record: Record, answer: Answer) -> float:
    try:
        actual = msgspec.json.decode(answer.reply.text)
    except msgspec.DecodeError:
        return 0.0
    return field_accuracy(msgspec.json.decode(record.expected or "null"), actual)


_SCORES: dict[Metric, Callable[[Record, Answer], float]] = {
    "accuracy": _accuracy,
    "fields": _fields,
    "assertions": _assertions,
    "exact": _exact,
}


def field_accuracy(expected: object, actual: object) -> float:
    """Return the share of correct fields of a JSON value, 0 to 1.

    An object has the mean over the keys of both objects, and each nested value counts as one. A
    list has the share of equal items, in any order, of the longer list. Texts are equal regardless
    of case, spaces and a final full stop.

    Example:
        >>> field_accuracy({"name": "Ada", "born": 1815}, {"name": "ada", "born": 1816})
        0.5
        >>> field_accuracy(["a", "b"], ["b", "c", "a"])
        0.6666666666666666
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys, shared = expected.keys() | actual.keys(), expected.keys() & actual.keys()
        found = [field_accuracy(expected[key], actual[key]) for key in shared]
        return math.fsum(found) / len(keys) if keys else 1.0
    if isinstance(expected, list) and isinstance(actual, list):
        longest = max(len(expected), len(actual))
        common = Counter(map(_comparable, expected)) & Counter(map(_comparable, actual))
        return common.total() / longest if longest else 1.0
    return float(_comparable(expected) == _comparable(actual))


def _comparable(value: object) -> str:
    """Return a text that is the same for equal values; 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, str):
        return f"text {normalized(value)}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"number {float(value)!r}"
    if isinstance(value, dict):
        return repr(sorted((key, _comparable(each)) for key, each in value.items()))
    if isinstance(value, list):
        return repr([_comparable(each) for each in value])
    return repr(value)


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def wilson_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean of values between 0 and 1, after Wilson (1927).

    The interval is made for shares. The variance of other values in this range is smaller, so it is
    too wide for them rather than too narrow.

    Example:
        >>> low, high = wilson_interval([1.0] * 8 + [0.0] * 2)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    n, p = len(values), mean(values)
    if not n:
        return 0.0, 1.0
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference of paired scores.

    It is the percentile bootstrap of Efron (1979) with a fixed seed, so it is deterministic.

    Example:
        >>> difference_interval([0.0, 1.0, 0.0], [0.0, 1.0, 0.0])
        (0.0, 0.0)
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if not differences:
        return 0.0, 0.0
    rng, n = random.Random(0), len(differences)
    means = sorted(math.fsum(rng.choices(differences, k=n)) / n for _ in range(_RESAMPLES))
    return means[round(0.025 * _RESAMPLES)], means[round(0.975 * _RESAMPLES) - 1]
