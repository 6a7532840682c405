"""Cross-validate recipes on scored examples, and choose one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import msgspec

from llmtool.tasks.classify.calibration import add, bias_of_balanced, bias_of_neutral, softmax
from llmtool.tasks.classify.recipes import BiasSource, Recipe

# Standard errors by which a recipe must be better than a simpler one (see benchmarks/README.md).
_MIN_Z, _MIN_Z_OF_SHOWN = 0.25, 0.75
_MIN_PROBABILITY = 0.01  # of a true label, so that no single text decides

Row = Sequence[float]
Table = dict[int, Row]  # log-probabilities of the labels, by the index of the example


class PromptScores(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of examples, and of neutral sentences, with prompts that show the same number.

    Prompts that share a bias have a table; the first one has the prompt that the recipe will use.
    """

    tables: list[Table]
    neutral: list[Row]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a recipe labelled the examples.

    `hits` are 1 for the right label, less if others are equally likely. `logprobs` are those of the
    right label, bounded from below. Both are means over prompts, shape (n_examples,). `bias` is
    that of all examples.
    """

    hits: list[float]
    logprobs: list[float]
    bias: list[float]

    @property
    def accuracy(self) -> float:
        return fmean(self.hits)


def cross_validate(
    scores: PromptScores, source: BiasSource, truth: Sequence[int], folds: Sequence[int]
) -> Outcome | None:
    """Label each example with a bias that does not depend on its fold.

    Args:
        truth, folds: the label and the fold of each example.

    Returns:
        The outcome, or None if the bias cannot be measured without the examples of a fold.

    Example:
        >>> table = {0: [-1.0, -2.0], 1: [-1.0, -1.5], 2: [-1.0, -2.5], 3: [-1.0, -1.4]}
        >>> scores = PromptScores(tables=[table], neutral=[])
        >>> cross_validate(scores, "none", [0, 1, 0, 1], [0, 0, 1, 1]).accuracy
        0.5
        >>> cross_validate(scores, "examples", [0, 1, 0, 1], [0, 0, 1, 1]).accuracy
        1.0
    """
    found: list[tuple[list[float], list[float]]] = [([], []) for _ in truth]
    for table in scores.tables:
        for fold in {folds[i] for i in table}:
            others = {i: row for i, row in table.items() if folds[i] != fold}
            bias = _bias(source, scores, others, truth)
            if bias is None:
                return None
            for i, row in table.items():
                if folds[i] == fold:
                    probabilities = softmax(add(row, bias))
                    right = probabilities[truth[i]]
                    hits, logprobs = found[i]
                    top = max(probabilities)
                    hits.append((right == top) / probabilities.count(top))
                    logprobs.append(math.log(max(right, _MIN_PROBABILITY)))
    bias = _bias(source, scores, scores.tables[0], truth)
    assert bias is not None  # as there are more examples than without a fold
    return Outcome(
        hits=[fmean(hits) for hits, _ in found],
        logprobs=[fmean(logprobs) for _, logprobs in found],
        bias=bias,
    )


def _bias(
    source: BiasSource, scores: PromptScores, table: Table, truth: Sequence[int]
) -> list[float] | None:
    if source == "neutral":
        return bias_of_neutral(scores.neutral) if scores.neutral else None
    n_labels = max(truth) + 1
    if source == "none":
        return [0.0] * n_labels
    counts = [0] * n_labels
    for i in table:
        counts[truth[i]] += 1
    if not all(counts):
        return None
    return bias_of_balanced(list(table.values()), [count / len(table) for count in counts])


def choose(outcomes: Mapping[Recipe, Outcome]) -> Recipe:
    """Return the best recipe; the first is the simplest.

    A later one is chosen only if its mean log-probability exceeds that of the best so far by more
    than a part of the standard error of the difference, and its accuracy is not lower. The first
    that shows examples must also have a higher accuracy by such a margin: examples in the prompt
    make a model confident, also when it is wrong.
    """
    best, *others = outcomes
    for recipe in others:
        outcome, other = outcomes[recipe], outcomes[best]
        is_likelier = _exceeds(outcome.logprobs, other.logprobs, _MIN_Z)
        is_first_shown = recipe.shown != "none" and best.shown == "none"
        if is_likelier and (
            _exceeds(outcome.hits, other.hits, _MIN_Z_OF_SHOWN)
            if is_first_shown
            else outcome.accuracy >= other.accuracy
        ):
            best = recipe
    return best


def _exceeds(values: Sequence[float], others: Sequence[float], min_z: float) -> bool:
    gains = [value - other for value, other in zip(values, others, strict=True)]
    return fmean(gains) > min_z * stdev(gains) / math.sqrt(len(gains))
