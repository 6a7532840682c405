"""Choose the sentences of a source that cover it with little redundancy, without a model.

The score of a sentence is the exponential of a weighted sum of a few features: its centrality
(cosine of its TF-IDF vector and the document's), numbers, words of the headings, cue words
(Edmundson, "New methods in automatic extracting", 1969), length, form, the length of its
paragraph, and its place there: the last sentence is often a remark.
Sentences are then chosen greedily by the score that they add to those already chosen, per
word (budgeted submodular maximization, Lin and Bilmes 2010; we omit the comparison with the best
single sentence, which does not win at these lengths). The weights maximize, with a ridge penalty,
the likelihood of the sentences with facts among those of their document, in the halves `tuning`,
`held-out` and `other` of `benchmarks/data/summaries`.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence

import msgspec

from llmtool.tasks.summarize.source import Sentence
from llmtool.text.mentions import find_numbers, mention_keys
from llmtool.text.words import WordSets, is_near_copy, pairs_of, terms, words_of

LOW, HIGH = 0.95, 1.1  # times the requested number of words
_MIN_WORDS = 4  # a shorter sentence says nothing on its own
_TITLE_RATIO = 1.6  # times the words of a headline
_MANY_NUMBERS = 4
_MENTION_WEIGHT = 3  # of a number or name, relative to a word
_MAX_SHARED = 0.5  # of the terms of a sentence with another one that was chosen
_CUE = re.compile(
    r"""\b(?:million|billion|percent|per\ cent|cost|total|increas|decreas|fell\b|rose\b|reduc|decid
    |decision|resolved|agree|approv|reject|recommend|must\b|will\b|because\b|caus|therefore\b|result|conclu
    |until\b|deadline|instead\b|since\b|within\b|new\b|limit|requir|propos|plan|first\b|end|replac
    |compared\b|fail|loss\b|lost\b|injur|died\b|killed|price|budget|average|announc|report|show
    |reason|prozent|kosten|beschl|entschie|empf[ie]hl|ergab|ergebnis|grund\b|weil\b|deshalb\b
    |bis\b|muss\b|müssen\b|wird\b|werden\b|neue|frist|ursache|stieg|sank|statt
    |co[uû]t|décid|recommand|parce\ que\b|cause|résult|nouve|doit\b|depuis\b|jusqu
    |decidi|recomend|porque\b|resultad|nuev|debe\b|desde\b|hasta\b)|[%€£$]
    |决定|因为|因此|由于|必须|建议|增加|减少|成本|费用|截止|原因|结果|万元|亿|新|決定|ため|予定""",
    re.IGNORECASE | re.VERBOSE,
)
_PERSONAL = re.compile(
    r"\b(?:I|you|your|my|me|we|us|I'm|I've|don't|would|could|perhaps|maybe)\b", re.IGNORECASE
)
_TERMINAL = re.compile(r"[.!?…。！？][\"'”’»)\]」』”’）]*\Z")


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the features of a sentence; `length_power` divides a gain by the words used."""

    centrality: float = 1.07
    numbers: float = 0.75  # times log(1 + n)
    many_numbers: float = -0.4  # it has at least four
    repeated_number: float = 0.2  # another sentence has one of its numbers
    headings: float = 0.17  # for each word that is also in a heading, up to two
    cues: float = 0.3  # for each, up to three
    words: float = 0.54  # times log(n)
    block: float = 0.34  # times log(n) of the sentences of its block
    place: float = -0.27  # from 0, the first of the block, to almost 1
    ends: float = -1.02  # it is the last of a block of several
    terminal: float = 1.11  # it ends with a full stop
    question: float = -1.39
    personal: float = -0.29
    code: float = -1.0
    focus: float = 6.0  # times the share of the words of the focus
    length_power: float = 1.0


WEIGHTS = Weights()


class ScoredSource:
    """The sentences of a source, scored; takes time linear in their number.

    `choosable` are the indexes of sentences that can be chosen: all but headings, fields of
    e-mails and fragments, or all sentences of a text without others. `scores` are proportional to
    the probability of a fact.
    """

    def __init__(
        self, sentences: Sequence[Sentence], *, focus: str | None = None, weights: Weights = WEIGHTS
    ) -> None:
        self.sentences = sentences
        self._weights = weights
        self._terms = [frozenset(terms(each.text)) for each in sentences]
        readable = [i for i, each in enumerate(sentences) if each.kind not in ("heading", "field")]
        long = [i for i in readable if sentences[i].n_words >= _MIN_WORDS]
        self.choosable = long or readable or list(range(len(sentences)))
        counts = Counter(term for i in self.choosable for term in self._terms[i])
        n = len(self.choosable)
        self._idf = {term: math.log(1 + n / count) for term, count in counts.items()}
        self._focus = frozenset(terms(focus or ""))
        self._compared: dict[int, WordSets] = {}
        self.scores = self._score()

    def choose(self, n_words: int, *, excluded: Collection[int] = ()) -> list[int]:
        """Return indexes of sentences with about `n_words` in total, in document order.

        The total is 95 to 110 % of `n_words` if the lengths of the sentences allow it.
        """
        chosen = self._choose_greedily(n_words, None, excluded)
        return sorted(self._adjusted(chosen, n_words, excluded))

    def choose_number(self, n: int, *, excluded: Collection[int] = ()) -> list[int]:
        """Return indexes of `n` sentences, or of all if there are fewer, in document order."""
        return sorted(self._choose_greedily(None, n, excluded))

    def choose_line(self, n_words: int) -> list[int]:
        """Return the index of a title or of the best sentence of at most about `n_words`."""
        limit = n_words * _TITLE_RATIO
        for i, sentence in enumerate(self.sentences):
            if sentence.kind == "heading" and 1 < sentence.n_words <= limit:
                return [i]
            if sentence.kind not in ("heading", "code", "field"):
                break
        short = [i for i in self.choosable if self.sentences[i].n_words <= limit]
        if not short:
            return [min(self.choosable, key=lambda i: self.sentences[i].n_words)]
        return [max(short, key=lambda i: self.scores[i])]

    def ranked(self, excluded: Collection[int] = ()) -> list[int]:
        """Return the indexes of the choosable sentences, the highest score per word first."""
        candidates = [i for i in self.choosable if i not in excluded]
        return sorted(candidates, key=lambda i: -self._gain(i, set()))

    def retention(self, index: int, text: str) -> float:
        """Return the share of a sentence that a text retains; numbers and names count most."""
        own_terms = self._terms[index]
        own_mentions = frozenset(mention_keys(self.sentences[index].text))
        kept_terms, kept_mentions = frozenset(terms(text)), frozenset(mention_keys(text))
        total = len(own_terms) + _MENTION_WEIGHT * len(own_mentions)
        kept = len(own_terms & kept_terms) + _MENTION_WEIGHT * len(own_mentions & kept_mentions)
        return kept / total if total else 0.0

    def is_redundant(self, index: int, others: Collection[int]) -> bool:
        """Return whether a sentence repeats much of another one."""
        own = self._terms[index]
        for other in others:
            smaller = min(len(own), len(self._terms[other])) or 1
            if len(own & self._terms[other]) / smaller > _MAX_SHARED:
                return True
        return self.is_copy(index, others)

    def is_copy(self, index: int, others: Collection[int]) -> bool:
        """Return whether a sentence is a near-copy of another one."""
        own = self._word_sets(index)
        return any(is_near_copy(own, self._word_sets(other)) for other in others)

    def _word_sets(self, index: int) -> WordSets:
        """Return the words and pairs of a sentence; few sentences of a long text are compared."""
        if index not in self._compared:
            text = self.sentences[index].text
            self._compared[index] = frozenset(words_of(text)), pairs_of(text)
        return self._compared[index]

    def _score(self) -> list[float]:
        weights, centrality = self._weights, self._centrality()
        highest = max((centrality[i] for i in self.choosable), default=0.0) or 1.0
        headings = {
            term
            for sentence, own in zip(self.sentences, self._terms, strict=True)
            if sentence.kind == "heading"
            for term in own
        }
        numbers = [[min(n.readings) for n in find_numbers(each.text)] for each in self.sentences]
        n_with = Counter(number for i in self.choosable for number in set(numbers[i]))
        n_in_block = Counter(self.sentences[i].block for i in self.choosable)
        n_before: Counter[int] = Counter()  # in the same block
        scores = [0.0] * len(self.sentences)
        for i in self.choosable:
            sentence, text = self.sentences[i], self.sentences[i].text
            n_block = n_in_block[sentence.block]
            value = weights.centrality * centrality[i] / highest
            value += weights.numbers * math.log1p(len(numbers[i]))
            value += weights.many_numbers * (len(numbers[i]) >= _MANY_NUMBERS)
            value += weights.repeated_number * any(len(n) > 1 and n_with[n] > 1 for n in numbers[i])
            value += weights.block * math.log(n_block)
            value += weights.place * n_before[sentence.block] / n_block
            n_before[sentence.block] += 1
            value += weights.headings * min(2, len(headings & self._terms[i]))
            value += weights.cues * min(3, len(_CUE.findall(text)))
            value += weights.words * math.log(max(_MIN_WORDS, sentence.n_words))
            value += weights.ends * (not sentence.opens and self._ends_block(i))
            value += weights.terminal * (
                sentence.kind == "row" or _TERMINAL.search(text) is not None
            )
            value += weights.question * ("?" in text or "？" in text)
            value += weights.personal * (_PERSONAL.search(text) is not None)
            value += weights.code * (sentence.kind == "code")
            if self._focus:
                value += weights.focus * len(self._focus & self._terms[i]) / len(self._focus)
            scores[i] = math.exp(value)
        return scores

    def _ends_block(self, i: int) -> bool:
        following = self.sentences[i + 1 : i + 2]
        return not following or following[0].block != self.sentences[i].block

    def _centrality(self) -> list[float]:
        """Return the cosine of each sentence's TF-IDF vector with the sum of all."""
        total: dict[str, float] = {}
        for i in self.choosable:
            for term in self._terms[i]:
                total[term] = total.get(term, 0.0) + self._idf[term]
        norm = math.sqrt(sum(value * value for value in total.values())) or 1.0
        found = [0.0] * len(self.sentences)
        for i in self.choosable:
            own = math.sqrt(sum(self._idf[term] ** 2 for term in self._terms[i])) or 1.0
            found[i] = sum(total[t] * self._idf[t] for t in self._terms[i]) / (own * norm)
        return found

    def _gain(self, i: int, covered: set[str]) -> float:
        """Return the score of a sentence per word, times the root of the share of new terms.

        The share itself would reject sentences about the subject of the text, whose terms are
        covered first.
        """
        weight = sum(self._idf[term] for term in self._terms[i]) or 1.0
        new = sum(self._idf[term] for term in self._terms[i] if term not in covered)
        length = max(_MIN_WORDS, self.sentences[i].n_words)
        return (
            self.scores[i] * math.sqrt(new / weight) / math.pow(length, self._weights.length_power)
        )

    def _choose_greedily(
        self, n_words: int | None, n: int | None, excluded: Collection[int]
    ) -> set[int]:
        """Choose sentences while they fit; near-copies of others only if nothing else is left."""
        candidates = [i for i in self.choosable if i not in excluded]
        if n_words is not None:
            fitting = [i for i in candidates if self.sentences[i].n_words <= n_words * HIGH]
            shortest = sorted(candidates, key=lambda i: self.sentences[i].n_words)[:1]
            candidates = fitting or shortest
        chosen: set[int] = set()
        for is_repetition in (self.is_redundant, self.is_copy):
            self._add_greedily(chosen, candidates, n_words, n, is_repetition)
        return chosen

    def _add_greedily(
        self,
        chosen: set[int],
        candidates: Collection[int],
        n_words: int | None,
        n: int | None,
        is_repetition: Callable[[int, Collection[int]], bool],
    ) -> None:
        """Add the best sentences; lazily, as a gain never rises when others are chosen."""
        covered = {term for i in chosen for term in self._terms[i]}
        total = sum(self.sentences[i].n_words for i in chosen)
        heap = [(-self._gain(i, covered), i, len(chosen)) for i in candidates if i not in chosen]
        heapq.heapify(heap)
        while heap and (n is None or len(chosen) < n):
            _, i, n_chosen = heapq.heappop(heap)
            length = self.sentences[i].n_words
            if n_words is not None and total + length > n_words * HIGH and chosen:
                continue
            if n_chosen < len(chosen):
                heapq.heappush(heap, (-self._gain(i, covered), i, len(chosen)))
                continue
            if is_repetition(i, chosen):
                continue
            chosen.add(i)
            covered |= self._terms[i]
            total += length

    def _adjusted(self, chosen: set[int], n_words: int, excluded: Collection[int]) -> set[int]:
        """Exchange a sentence if the total is too low or too high, and another one fits better."""
        total = sum(self.sentences[i].n_words for i in chosen)
        if LOW * n_words <= total <= HIGH * n_words or not chosen:
            return chosen
        others = [i for i in self.choosable if i not in chosen and i not in excluded]
        best: tuple[float, set[int]] | None = None
        for out in (None, *sorted(chosen)):
            rest = chosen - {out}
            size = total - (0 if out is None else self.sentences[out].n_words)
            for new in others:
                if not LOW * n_words <= size + self.sentences[new].n_words <= HIGH * n_words:
                    continue
                value = self.scores[new] - (0.0 if out is None else self.scores[out])
                if (best is None or value > best[0]) and not self.is_redundant(new, rest):
                    best = value, rest | {new}
        return chosen if best is None else best[1]
