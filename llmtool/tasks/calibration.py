"""From log-probabilities of labels to scores: what a model favours unasked is taken out.

A model prefers some labels whatever the text says. How much, texts tell whose answer is known on
average: examples with as many of each label, or sentences that speak for none. After Zhao et al.
(arXiv 2102.09690), Holtzman et al. (2104.08315) and Zhou et al. (2309.17249). But: no bias from the
batch by default, which takes a batch of one label for a bias towards it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Row = Sequence[float]

_ITERATIONS = 50
_TOLERANCE = 1e-6

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
    return [-math.log(_mean(column)) for column in zip(*probabilities, strict=True)]


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
            math.log(max(n_labels * _mean(column), 1e-12))
            for column in zip(*probabilities, strict=True)
        ]
        bias = [value - step for value, step in zip(bias, steps, strict=True)]
        if max(map(abs, steps)) < _TOLERANCE:
            break
    center = _mean(bias)
    return [value - center for value in bias]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
