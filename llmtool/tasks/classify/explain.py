"""Explain a classification by its sentences: score the text without each of them."""

from __future__ import annotations

import math

import msgspec

from llmtool.engine.types import Engine
from llmtool.errors import InputError
from llmtool.sizes import format_count
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification
from llmtool.text.sentences import split_sentences

MAX_SENTENCES = 200


class SentenceWeight(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, its range in characters, and its weight for the label.

    `weight` is how much the label's log-odds decrease without the sentence; a negative weight means
    that the sentence is evidence against the label.
    """

    text: str
    start: int
    end: int
    weight: float


def explain(
    classifier: Classifier, engine: Engine, case: Case
) -> tuple[Classification, tuple[SentenceWeight, ...]]:
    """Classify a text; return the result and the weights of its sentences.

    Two sentences with the same content both get a low weight, as only one is removed at a time.

    Raises:
        InputError: there are fewer than two sentences, or more than `MAX_SENTENCES`.
    """
    name = classifier.text_input
    text = case.variables.get(name or "")
    if not isinstance(text, str):
        raise InputError("no text to explain")
    sentences = split_sentences(text)
    if not 2 <= len(sentences) <= MAX_SENTENCES:
        raise InputError(
            f"the text has {format_count(len(sentences), 'sentence')}; "
            f"an explanation needs 2 to {MAX_SENTENCES}"
        )
    shortened = ["".join(sentences[:i] + sentences[i + 1 :]) for i in range(len(sentences))]
    cases = [
        msgspec.structs.replace(case, id=i, variables={**case.variables, str(name): each})
        for i, each in enumerate([text, *map(str.strip, shortened)])
    ]
    whole, *without = raise_failures(classifier.outcomes(engine, cases))
    best = max(whole.scores, key=whole.scores.__getitem__)
    weights, start = [], 0
    for sentence, other in zip(sentences, without, strict=True):
        weight = _log_odds(whole.scores[best]) - _log_odds(other.scores[best])
        end = start + len(sentence)
        weights.append(
            SentenceWeight(text=sentence.strip(), start=start, end=end, weight=round(weight, 4))
        )
        start = end
    return whole, tuple(weights)


def _log_odds(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))
