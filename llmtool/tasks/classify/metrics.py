"""Metrics that compare answers with the expected ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def normalized(text: str) -> str:
    """Return a text for comparison, without case, extra spaces and a final full stop, in NFC.

    Example:
        >>> normalized("  In\\n PARIS. ")
        'in paris'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).removesuffix(".")


def accuracy(expected: Sequence[str], answers: Sequence[str | None]) -> float:
    """Return the share of correct answers; None counts as wrong.

    Example:
        >>> accuracy(["a", "b", "b", "c"], ["a", "b", "a", None])
        0.5
    """
    hits = sum(a == e for e, a in zip(expected, answers, strict=True))
    return hits / len(expected)


def macro_f1(
    expected: Sequence[str], answers: Sequence[str | None], labels: Collection[str] = ()
) -> float:
    """Return the mean F1 score of the classes, so that rare classes count like frequent ones.

    As in scikit-learn, the classes are all that are expected, and those of `labels` that were
    answered. Any other answer, and None, only reduces the recall.

    Example:
        >>> macro_f1(["a", "a", "b"], ["a", "b", "b"])  # of each: 2 * 1 / (1 + 2)
        0.6666666666666666
    """
    classes = {*expected, *(answer for answer in answers if answer in labels)}
    return sum(_f1(each, expected, answers) for each in classes) / len(classes)


def _f1(label: str | None, expected: Sequence[str], answers: Sequence[str | None]) -> float:
    hits = sum(e == label == a for e, a in zip(expected, answers, strict=True))
    n_expected = sum(e == label for e in expected)
    n_answered = sum(a == label for a in answers)
    return 2 * hits / (n_expected + n_answered)
