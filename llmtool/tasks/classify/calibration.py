"""From log-probabilities of labels to scores: what a model favours unasked is taken out.

A model prefers some labels whatever the text says. How much, texts tell whose answer is known on
average: examples with as many of each label, or sentences that speak for none. After Zhao et al.
(arXiv 2102.09690), Holtzman et al. (2104.08315) and Zhou et al. (2309.17249). But: no bias from the
batch by default, which takes a batch of one label for a bias towards it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from llmtool.errors import UsageError

Row = Sequence[float]

_ITERATIONS = 50
_TOLERANCE = 1e-6
_LEAST = 1e-12  # of a mean probability
_DECAY, _NEWTON_STEPS, _HALVINGS = 1.0, 60, 30
_LEAST_SLOPE = 0.02  # below it the scores say nothing about the labels

# Everyday sentences that speak for no label of the usual sets; of different lengths and topics.
NEUTRAL = (
    "The meeting room is on the second floor.",
    "A table has four legs.",
    "He put the book back on the shelf.",
    "It is half past ten.",
    "The street runs from the station to the river.",
    "She wrote a letter and went home.",
    "There are twelve months in a year.",
    "The bag holds a bottle, a pen and some paper.",
    "They talked for a while and then left.",
    "The window faces the yard.",
    "Water boils at a hundred degrees.",
    "The next page has a list of names.",
    "A man in a grey coat waited at the corner.",
    "The form has three parts.",
    "We had bread and soup.",
    "The door was closed, and a light was on inside.",
)


def softmax(row: Row) -> list[float]:
    """Return probabilities that add up to 1; shape (n_labels,).

    Example:
        >>> [round(p, 2) for p in softmax([0.0, math.log(3)])]
        [0.25, 0.75]
    """
    top = max(row)
    if top == -math.inf:
        return [1 / len(row)] * len(row)
    weights = [math.exp(value - top) for value in row]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def add(row: Row, bias: Row) -> list[float]:
    return [a + b for a, b in zip(row, bias, strict=True)]


def bias_of_neutral(rows: Sequence[Row]) -> list[float]:
    """Return the bias that makes the labels alike on sentences which speak for none; one step.

    Args:
        rows: log-probabilities, shape (n_sentences, n_labels).

    Returns:
        What to add to log-probabilities, shape (n_labels,).

    Example:
        >>> bias = bias_of_neutral([[math.log(0.6), math.log(0.2)]])
        >>> [round(p, 3) for p in softmax(add([math.log(0.6), math.log(0.2)], bias))]
        [0.5, 0.5]
    """
    probabilities = [softmax(row) for row in rows]
    return [-math.log(max(_mean(column), _LEAST)) for column in zip(*probabilities, strict=True)]


def bias_of_balanced(rows: Sequence[Row]) -> list[float]:
    """Return the bias under which texts with as many of each label get each label as often.

    Args:
        rows: log-probabilities of texts, shape (n_texts, n_labels), the true labels balanced.

    Returns:
        What to add to log-probabilities, shape (n_labels,), its mean 0.
    """
    n_labels = len(rows[0])
    bias = [0.0] * n_labels
    for _ in range(_ITERATIONS):
        probabilities = [softmax(add(row, bias)) for row in rows]
        steps = [
            math.log(max(n_labels * _mean(column), _LEAST))
            for column in zip(*probabilities, strict=True)
        ]
        bias = [value - step for value, step in zip(bias, steps, strict=True)]
        if max(map(abs, steps)) < _TOLERANCE:
            break
    center = _mean(bias)
    return [value - center for value in bias]


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A bias and a temperature, by likelihood on labelled texts.

    `ece` and `accuracy` are those of the same texts, before and after.
    """

    bias: list[float]
    temperature: float
    n_texts: int
    accuracy: tuple[float, float]
    ece: tuple[float, float]

    def apply(self, row: Row) -> list[float]:
        """Return calibrated log-probabilities, up to a constant; shape (n_labels,)."""
        return [value / self.temperature for value in add(row, self.bias)]


def fit(rows: Sequence[Row], truth: Sequence[int], *, start: Row) -> Fit:
    """Return the bias and temperature under which the labels of texts are likeliest.

    Softmax((S + b) / T + log share) is a logistic regression with one slope, and an intercept for
    each label beside the share that it has among the texts: so the fit is that of labels which are
    all alike, and a prior can be added to it. A convex problem, solved by damped Newton steps, with
    a little weight decay towards `start` and T = 1, so that few texts change little. After Platt
    (1999) and Guo et al. (arXiv 1706.04599).

    Args:
        rows: log-probabilities, shape (n_texts, n_labels).
        truth: the label of each text, by its number; each label has one at least.
        start: the bias that would be used without a fit.

    Raises:
        UsageError: the scores say nothing about these labels, or their contrary.

    Example:
        >>> rows = [[-1.0, -2.0], [-1.0, -1.5]] * 20
        >>> fitted = fit(rows, [0, 1] * 20, start=[0.0, 0.0])
        >>> fitted.accuracy
        (0.5, 1.0)
    """
    import numpy as np

    n, n_labels = len(rows), len(rows[0])
    raw = np.clip(np.array(rows, dtype=float), -1e4, 0.0) + np.array(start)
    raw -= raw.mean(axis=1, keepdims=True)
    unit = float(np.sqrt((raw**2).mean())) or 1.0  # so that the decay suits rows of any size
    x, y = raw / unit, np.eye(n_labels)[list(truth)]
    shares = np.log(y.mean(axis=0))

    def loss(theta: Any) -> tuple[float, Any]:
        z = theta[0] * x + theta[1:] + shares
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        likelihood = (z[y == 1] - np.log(total[:, 0])).sum()
        decay = 0.5 * _DECAY * ((theta - origin) ** 2).sum()
        return (decay - likelihood) / n, p

    origin = np.concatenate([[unit], np.zeros(n_labels)])
    theta = origin.copy()
    value, p = loss(theta)
    for _ in range(_NEWTON_STEPS):
        error = p - y
        gradient = np.concatenate([[(error * x).sum()], error.sum(axis=0)])
        gradient += _DECAY * (theta - origin)
        mean = (p * x).sum(axis=1, keepdims=True)
        hessian = _DECAY * np.eye(n_labels + 1)
        hessian[0, 0] += (p * (x - mean) ** 2).sum()
        hessian[0, 1:] += (p * (x - mean)).sum(axis=0)
        hessian[1:, 0] = hessian[0, 1:]
        hessian[1:, 1:] += np.diag(p.sum(axis=0)) - p.T @ p
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < _TOLERANCE:
            break
        for _ in range(_HALVINGS):
            tried, its_p = loss(theta - step)
            if tried <= value:
                break
            step /= 2
        theta, value, p = theta - step, tried, its_p
    slope = float(theta[0]) / unit
    if slope < _LEAST_SLOPE:
        raise UsageError(
            "the model's scores say nothing about these labels, or their contrary: nothing was kept"
        )
    bias = [value + float(offset) / slope for value, offset in zip(start, theta[1:], strict=True)]
    fitted = Fit(bias=bias, temperature=1 / slope, n_texts=n, accuracy=(0, 0), ece=(0, 0))
    before = [softmax(add(row, start)) for row in rows]
    after = [softmax(fitted.apply(row)) for row in rows]
    return msgspec.structs.replace(
        fitted,
        accuracy=(_accuracy(before, truth), _accuracy(after, truth)),
        ece=(expected_calibration_error(before, truth), expected_calibration_error(after, truth)),
    )


def expected_calibration_error(
    probabilities: Sequence[Row], truth: Sequence[int], *, n_bins: int = 10
) -> float:
    """Return how far scores are from the share of right answers, over bins of equal width.

    The mean of |accuracy - confidence| over the bins, weighted by their size (Naeini et al., 2015).

    Example:
        >>> expected_calibration_error([[0.8, 0.2], [0.8, 0.2]], [0, 1])
        0.3
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for row, label in zip(probabilities, truth, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        at = min(int(row[best] * n_bins), n_bins - 1)
        bins[at].append((row[best], best == label))
    error = 0.0
    for members in filter(None, bins):
        confidence = _mean([score for score, _ in members])
        accuracy = _mean([float(right) for _, right in members])
        error += len(members) * abs(accuracy - confidence)
    return round(error / len(truth), 12)


def _accuracy(probabilities: Sequence[Row], truth: Sequence[int]) -> float:
    right = [
        max(range(len(row)), key=row.__getitem__) == label
        for row, label in zip(probabilities, truth, strict=True)
    ]
    return _mean([float(each) for each in right])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
