"""Calibrate the log-probabilities of labels.

A model prefers some labels regardless of the text. This bias is measured on texts whose average
label is known: examples with equal numbers of each label, or neutral sentences. After Zhao et al.
(arXiv 2102.09690), Holtzman et al. (2104.08315) and Zhou et al. (2309.17249). Unlike the last, the
bias is not estimated from the batch by default, which would be wrong for a batch of one label.
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
_MIN_PROBABILITY = 1e-12
_DECAY, _NEWTON_STEPS, _HALVINGS = 1.0, 60, 30
_MIN_SLOPE = 0.02  # a smaller slope means that the scores do not depend on the label

# Everyday sentences unrelated to common labels, of different lengths and topics.
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
# Sentences that name a label, of a text that may be about any of them.
NAMING = (
    "There is a problem with the {}.",
    "I have a question about {}.",
    "It is not about {}.",
)


def softmax(row: Row) -> list[float]:
    """Return probabilities that add up to 1; shape (n_labels,).

    Example:
        >>> import math
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
    """Return the bias that makes all labels equally likely on neutral sentences, in one step.

    Args:
        rows: log-probabilities, shape (n_sentences, n_labels).

    Returns:
        The bias to add to log-probabilities, shape (n_labels,).

    Example:
        >>> import math
        >>> bias = bias_of_neutral([[math.log(0.6), math.log(0.2)]])
        >>> [round(p, 3) for p in softmax(add([math.log(0.6), math.log(0.2)], bias))]
        [0.5, 0.5]
    """
    probabilities = [softmax(row) for row in rows]
    return [
        -math.log(max(_mean(column), _MIN_PROBABILITY))
        for column in zip(*probabilities, strict=True)
    ]


def bias_of_others(rows: Sequence[Row], named: Sequence[int]) -> list[float]:
    """Return the bias that makes all labels equally likely in texts that name another label.

    Unlike neutral sentences, these texts are about the subjects of the labels, where a label such
    as "bullying" is more likely than another from the start.

    Args:
        rows: log-probabilities, shape (n_texts, n_labels), with at least two labels.
        named: the index of the label that each text names, and that does not count there.

    Returns:
        The bias to add to log-probabilities, shape (n_labels,).

    Example:
        >>> bias_of_others([[-1.0, -5.0], [-3.0, -1.0]], [0, 1])
        [3.0, 5.0]
    """
    return [
        -_mean([row[label] for row, other in zip(rows, named, strict=True) if other != label])
        for label in range(len(rows[0]))
    ]


def bias_of_balanced(rows: Sequence[Row], shares: Row | None = None) -> list[float]:
    """Return the bias that gives each label its share of the texts, by default an equal one.

    Args:
        rows: log-probabilities of the texts, shape (n_texts, n_labels).
        shares: the share of each label among the true labels, above 0; shape (n_labels,). The bias
            itself assumes equally frequent labels.

    Returns:
        The bias to add to log-probabilities, shape (n_labels,), with mean 0.

    Example:
        >>> bias = bias_of_balanced([[0.0, -1.0], [0.0, -3.0]])
        >>> [round(value, 2) for value in bias]
        [-1.0, 1.0]
    """
    n_labels = len(rows[0])
    shares = shares or [1 / n_labels] * n_labels
    prior = [math.log(share) for share in shares]
    bias = [0.0] * n_labels
    for _ in range(_ITERATIONS):
        probabilities = [softmax(add(row, add(bias, prior))) for row in rows]
        steps = [
            math.log(max(_mean(column) / share, _MIN_PROBABILITY))
            for column, share in zip(zip(*probabilities, strict=True), shares, strict=True)
        ]
        bias = [value - step for value, step in zip(bias, steps, strict=True)]
        if max(map(abs, steps)) < _TOLERANCE:
            break
    center = _mean(bias)
    return [value - center for value in bias]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A bias and a temperature, fitted to labelled texts by maximum likelihood.

    `accuracy` and `ece` (expected calibration error) are pairs: before and after calibration.
    """

    bias: list[float]
    temperature: float
    n_texts: int
    accuracy: tuple[float, float]
    ece: tuple[float, float]

    def apply(self, row: Row) -> list[float]:
        """Return calibrated log-probabilities, up to a constant; shape (n_labels,)."""
        return [value / self.temperature for value in add(row, self.bias)]


def calibrate(rows: Sequence[Row], truth: Sequence[int], *, start: Row) -> Calibration:
    """Return the bias and temperature that maximize the likelihood of labelled texts.

    Softmax((S + b) / T + log share) is a logistic regression with one slope, and one intercept per
    label in addition to the logarithm of its share among the texts. The result therefore assumes
    equally frequent labels, and a prior can be added to it. The convex problem is solved by damped
    Newton steps, with a small weight decay towards `start` and T = 1, so that few texts have little
    effect. After Platt (1999) and Guo et al. (arXiv 1706.04599).

    Args:
        rows: log-probabilities, shape (n_texts, n_labels).
        truth: the index of each text's true label; each label needs at least one text.
        start: the bias without a calibration.

    Raises:
        UsageError: the scores do not depend on the labels, or contradict them.

    Example:
        >>> rows = [[-1.0, -2.0], [-1.0, -1.5]] * 20
        >>> calibrate(rows, [0, 1] * 20, start=[0.0, 0.0]).accuracy
        (0.5, 1.0)
    """
    import numpy as np

    n, n_labels = len(rows), len(rows[0])
    raw = np.clip(np.array(rows, dtype=float), -1e4, 0.0) + np.array(start)
    raw -= raw.mean(axis=1, keepdims=True)
    # The weight decay must not depend on the scale of the rows.
    unit = float(np.sqrt((raw**2).mean())) or 1.0
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
            tried, tried_p = loss(theta - step)
            if tried <= value:
                break
            step /= 2
        theta, value, p = theta - step, tried, tried_p
    slope = float(theta[0]) / unit
    if slope < _MIN_SLOPE:
        raise UsageError(
            "the model's scores do not predict these labels, so nothing was saved; "
            "use another model, labels or template"
        )
    bias = [value + float(offset) / slope for value, offset in zip(start, theta[1:], strict=True)]
    calibration = Calibration(
        bias=bias, temperature=1 / slope, n_texts=n, accuracy=(0, 0), ece=(0, 0)
    )
    before = [softmax(add(row, start)) for row in rows]
    after = [softmax(calibration.apply(row)) for row in rows]
    return msgspec.structs.replace(
        calibration,
        accuracy=(_accuracy(before, truth), _accuracy(after, truth)),
        ece=(expected_calibration_error(before, truth), expected_calibration_error(after, truth)),
    )


def expected_calibration_error(
    probabilities: Sequence[Row], truth: Sequence[int], *, n_bins: int = 10
) -> float:
    """Return the mean of |accuracy - confidence| over bins of equal width, weighted by their size.

    After Naeini et al. (2015).

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
        accuracy = _mean([float(is_correct) for _, is_correct in members])
        error += len(members) * abs(accuracy - confidence)
    return round(error / len(truth), 12)


def _accuracy(probabilities: Sequence[Row], truth: Sequence[int]) -> float:
    is_correct = [
        max(range(len(row)), key=row.__getitem__) == label
        for row, label in zip(probabilities, truth, strict=True)
    ]
    return _mean([float(each) for each in is_correct])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
