"""Whether a model's score of a sentence would improve the choice of sentences in `sum`.

    python benchmarks/sentence_scores.py [-m REF] [--names backup,council] [--threads 1]

For each document of the tuning half, the model scores the 45 sentences with the highest scores of
`sum`: in each case after one prompt, whose tokens are computed once.

    mutual      how much a sentence raises the probability of other chosen sentences. By symmetry,
                log P(sentence | others) - log P(sentence), which costs only the sentence's tokens.
                The others are the 11 best of the sentences with even, or odd, positions.
    surprise    -log P(sentence), per token
    key points  log P(sentence | "The most important facts:") - log P(sentence | "Unimportant …")

AUC is the probability that the score of a sentence with a key fact is above that of another one.
Then the mean of facts at five lengths, if the standardized score is added with a weight to the
logarithm of the score in `sum`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from summaries import Document, read_documents
from summary_quality import facts_in

from llmtool import Toolbox
from llmtool.engine.types import Engine, Failed, Prompt, ScoreRequest
from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.source import read_sentences

LENGTHS = (100, 150, 200, 250, 300)
WEIGHTS = (-0.6, -0.3, -0.15, 0.15, 0.3, 0.6)
N_CANDIDATES, N_OTHERS = 45, 11
MAX_WORDS = 50  # of a sentence that are scored


def logprobs(engine: Engine, prompt: str, texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Return the log-probabilities of the tokens of each text after a prompt."""
    request = ScoreRequest(prompt=Prompt(text=prompt), candidates=tuple(texts))
    (outcome,) = engine.score([request])
    if isinstance(outcome, Failed):
        raise outcome.error
    return list(outcome.logprobs)


def model_scores(
    engine: Engine, source: ScoredSource, candidates: Sequence[int]
) -> dict[str, list[float]]:
    """Return the scores of the candidates by name."""
    sentences = source.sentences
    texts = [" ".join(sentences[i].text.split()[:MAX_WORDS]) for i in candidates]
    alone = logprobs(engine, "\n\n", texts)
    given: dict[int, tuple[float, ...]] = {}
    for k in (0, 1):
        others = sorted(candidates[1 - k :: 2], key=lambda i: -source.scores[i])[:N_OTHERS]
        prompt = "".join(f"{sentences[i].text}\n\n" for i in sorted(others))
        own = range(k, len(texts), 2)
        given.update(zip(own, logprobs(engine, prompt, [texts[j] for j in own]), strict=True))
    title = next((each.text for each in sentences if each.kind == "heading"), sentences[0].text)
    key = logprobs(engine, f"{title[:120]}\n\nThe most important facts:\n- ", texts)
    minor = logprobs(engine, f"{title[:120]}\n\nUnimportant details and remarks:\n- ", texts)
    pairs = list(zip([given[j] for j in range(len(texts))], alone, strict=True))
    return {
        "mutual": [sum(a) - sum(b) for a, b in pairs],
        "mutual, per token": [fmean(a) - fmean(b) for a, b in pairs],
        "surprise": [-fmean(each) for each in alone],
        "key points": [sum(a) - sum(b) for a, b in zip(key, minor, strict=True)],
    }


def auc(scores: Sequence[float], flags: Sequence[bool]) -> float:
    """Return the probability that a flagged score is above another one.

    Example:
        >>> auc([3, 2, 1], [True, False, False])
        1.0
    """
    inside = [s for s, flag in zip(scores, flags, strict=True) if flag]
    outside = [s for s, flag in zip(scores, flags, strict=True) if not flag]
    return fmean((a > b) + (a == b) / 2 for a in inside for b in outside)


def mean_facts(document: Document, source: ScoredSource) -> float:
    chosen = [source.choose(n) for n in LENGTHS]
    texts = ["\n".join(source.sentences[i].text for i in indexes) for indexes in chosen]
    return fmean(len(facts_in(text, document.facts)) for text in texts)


def facts_with(
    document: Document,
    source: ScoredSource,
    candidates: Sequence[int],
    scores: Sequence[float],
    weight: float,
) -> float:
    """Return the facts if the weighted scores are added to the logarithms of those of `sum`."""
    before, middle, spread = source.scores, fmean(scores), pstdev(scores) or 1.0
    source.scores = list(before)
    for i, score in zip(candidates, scores, strict=True):
        value = math.log(before[i]) + weight * (score - middle) / spread
        source.scores[i] = math.exp(value)
    found = mean_facts(document, source)
    source.scores = before
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--names", help="only these documents, separated by commas")
    parser.add_argument("--threads", type=int, help="one is faster on a busy machine")
    args = parser.parse_args()
    documents = read_documents("tuning")
    if args.names:
        documents = [each for each in documents if each.name in args.names.split(",")]
    box = Toolbox(args.model, prefix_cache=False, n_threads=args.threads)
    areas: dict[str, list[float]] = {}
    facts: dict[tuple[str, float], list[float]] = {}
    for document in documents:
        source = ScoredSource(read_sentences(document.text))
        candidates = sorted(source.ranked()[:N_CANDIDATES])
        flags = [bool(facts_in(source.sentences[i].text, document.facts)) for i in candidates]
        scores = model_scores(box.engine, source, candidates)
        areas.setdefault("sum", []).append(auc([source.scores[i] for i in candidates], flags))
        facts.setdefault(("sum", 0), []).append(mean_facts(document, source))
        for name, values in scores.items():
            areas.setdefault(name, []).append(auc(values, flags))
            for weight in WEIGHTS:
                with_model = facts_with(document, source, candidates, values, weight)
                facts.setdefault((name, weight), []).append(with_model)
        print(document.name, {name: round(each[-1], 2) for name, each in areas.items()}, flush=True)
    print(f"{'':<20}{'AUC':>6}" + "".join(f"{weight:>8}" for weight in WEIGHTS))
    print(f"{'sum':<20}{fmean(areas['sum']):>6.2f}{fmean(facts['sum', 0]):>8.2f}")
    for name in list(areas)[1:]:
        cells = "".join(f"{fmean(facts[name, weight]):>8.2f}" for weight in WEIGHTS)
        print(f"{name:<20}{fmean(areas[name]):>6.2f}{cells}")


if __name__ == "__main__":
    main()
