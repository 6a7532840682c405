"""Cross-validate recipes on scored examples, and choose one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import msgspec

from llmtool.tasks.classify.calibration import add, bias_of_balanced, bias_of_neutral, softmax
from llmtool.tasks.classify.recipes import BiasSource

_MIN_Z = 0.25  # standard errors by which a recipe must be better than a simpler one
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


def choose(outcomes: Sequence[Outcome]) -> int:
    """Return the index of the best outcome; the simplest recipe is first.

    A later one is chosen only if its mean log-probability exceeds that of the best so far by more
    than `_MIN_Z` standard errors of the difference, and its accuracy is not lower.
    """
    best = 0
    for i, outcome in enumerate(outcomes):
        pairs = zip(outcome.logprobs, outcomes[best].logprobs, strict=True)
        gains = [mine - other for mine, other in pairs]
        noise = stdev(gains) / math.sqrt(len(gains))
        if fmean(gains) > _MIN_Z * noise and outcome.accuracy >= outcomes[best].accuracy:
            best = i
    return best
