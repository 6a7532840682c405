"""Metrics that compare predictions with the expected answers."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def normalized(text: str) -> str:
    """Return a text for comparison: without case, extra spaces and a final full stop, in NFC.

    Example:
        >>> normalized("  In\\n PARIS. ")
        'in paris'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).removesuffix(".")


def accuracy(expected: Sequence[str], predictions: Sequence[str | None]) -> float:
    """Return the share of correct predictions; None counts as wrong.

    Example:
        >>> accuracy(["a", "b", "b", "c"], ["a", "b", "a", None])
        0.5
    """
    hits = sum(a == e for e, a in zip(expected, predictions, strict=True))
    return hits / len(expected)


def macro_f1(
    expected: Sequence[str], predictions: Sequence[str | None], labels: Collection[str] = ()
) -> float:
    """Return the unweighted mean of the F1 scores of the classes.

    As in scikit-learn, the classes are the expected ones, and those of `labels` that were
    predicted. Any other prediction, and None, only reduces the recall.

    Example:
        >>> macro_f1(["a", "a", "b"], ["a", "b", "b"])  # each class: 2 * 1 / (1 + 2)
        0.6666666666666666
    """
    classes = {*expected, *(prediction for prediction in predictions if prediction in labels)}
    return sum(_f1(each, expected, predictions) for each in classes) / len(classes)


def _f1(label: str | None, expected: Sequence[str], predictions: Sequence[str | None]) -> float:
    hits = sum(e == label == a for e, a in zip(expected, predictions, strict=True))
    n_expected = sum(e == label for e in expected)
    n_predicted = sum(a == label for a in predictions)
    return 2 * hits / (n_expected + n_predicted)
