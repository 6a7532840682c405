"""Check a written sentence against the sentences of its source passage.

A sentence passes if its numbers, names and dates occur there in the same context, if it adds few
words of its own, and if it neither drops nor adds a negation. Words are compared by their
stems, scripts without spaces by pairs of characters.

Limitations: it does not notice exchanged roles ("A paid B"), nor a comparison that is reversed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from llmtool.tasks.summarize.source import Sentence
from llmtool.text.mentions import Name, Number, find_names, find_numbers, same_number
from llmtool.text.words import (
    FUNCTION_WORDS,
    WIDE,
    is_near_copy,
    pairs_of,
    terms,
    words_of,
)

_MIN_SUPPORT = 0.6  # share of the terms of a sentence that its source must have
_MIN_NEAR = 0.4  # share of the terms near a number that are near it in its source
_MAX_ALIGNED = 3
_NEAR, _NEAR_IN_SOURCE = 45, 90  # characters around a number
_MAX_GAP = 5  # characters between the parts of a date
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|nicht|kein\w*|nie|niemals"
    r"|niemand|nichts|ohne|ne|pas|jamais|aucune?|rien|sans|nunca|ningun[ao]?|sin|nada|non|mai"
    r"|senza)\b|n['’]t\b|[不没沒無无未非]|ない|ません|なく",
    re.IGNORECASE,
)
_UNIT = re.compile(rf"[\s-]?([^\W\d_{WIDE}][^\W\d_]*)")
_SIGNS = {"€": "euro", "$": "dollar", "£": "pound", "¥": "yen", "°": "degree"}
_SHORT_UNITS = {
    "km": "kilometre kilometer", "m": "metre meter", "cm": "centimetre centimeter",
    "mm": "millimetre millimeter", "kg": "kilogram kilo", "g": "gram", "t": "tonne ton",
    "l": "litre liter", "ha": "hectare", "h": "hour", "min": "minute", "s": "second",
    "eur": "euro", "usd": "dollar", "gbp": "pound", "nok": "kroner krone", "kr": "krone kroner",
}  # fmt: skip


class Alignment(msgspec.Struct, frozen=True):
    """The indexes of the source sentences that a written sentence renders, in order."""

    indexes: tuple[int, ...]
    support: float  # the share of its terms that they contain


class Passage:
    """Sentences that a model wrote from, prepared for checks.

    Args:
        sentences: the passage.
        lower_words: words that the whole source also writes in lower case, which are not names.
    """

    def __init__(
        self, sentences: Sequence[Sentence], lower_words: frozenset[str] = frozenset()
    ) -> None:
        self.sentences = sentences
        self._lower_words = lower_words
        self._terms = [frozenset(terms(each.text)) for each in sentences]
        self._numbers = [find_numbers(each.text) for each in sentences]
        self._words = [_all_words(each.text) for each in sentences]
        self._text = "\n".join(each.text for each in sentences).casefold()

    def align(self, text: str) -> Alignment:
        """Return the source sentences that share the most terms with a written one."""
        left = set(terms(text))
        n_terms = len(left) or 1
        found: list[int] = []
        while left and len(found) < _MAX_ALIGNED:
            best = max(range(len(self._terms)), key=lambda i: len(left & self._terms[i]))
            shared = len(left & self._terms[best])
            if shared < (1 if not found else 2):
                break
            found.append(best)
            left -= self._terms[best]
        return Alignment(tuple(sorted(found)), 1 - len(left) / n_terms)

    def find_fault(self, text: str, alignment: Alignment) -> str | None:
        """Return why a written sentence is not printed, None if it passes.

        Example:
            >>> from llmtool.tasks.summarize.source import read_sentences
            >>> passage = Passage(read_sentences("The bus to Rem costs 40 euros. Ann drives it."))
            >>> def check(text):
            ...     return passage.find_fault(text, passage.align(text))
            >>> check("The bus costs 40 euros."), check("The bus costs 50 euros.")
            (None, 'the number 50 is not in its source')
            >>> check("The bus to Rom costs 40 euros."), check("The bus does not cost 40 euros.")
            ('the name Rom is not in its source', 'its source has no negation')
        """
        if not alignment.indexes:
            return "its words are not in its source"
        numbers = find_numbers(text)
        for number in numbers:
            fault = self._number_fault(text, number)
            if fault is not None:
                return fault
        for one, other in zip(numbers, numbers[1:], strict=False):
            if _is_date(text, one, other) and not self._has_date(one, other):
                return f"the date {text[one.start : other.end]} is not in its source"
        names = find_names(text)
        for name in names:
            if not self._knows(name, text):
                return f"the name {text[name.start : name.end]} is not in its source"
        for name, following in zip(names, names[1:], strict=False):
            is_one = text[name.end : following.start] == " "
            if is_one and not self._are_together(name, following):
                return f"the name {text[name.start : following.end]} is not in its source"
        if alignment.support < _MIN_SUPPORT:
            return "most of its words are not in its source"
        return self._negation_fault(text, alignment)

    def _number_fault(self, text: str, number: Number) -> str | None:
        spelled = text[number.start : number.end].strip()
        near = set(terms(_around(text, number, _NEAR)))
        near -= set(terms(spelled))
        is_found = False
        for sentence, numbers, words in zip(
            self.sentences, self._numbers, self._words, strict=True
        ):
            for other in numbers:
                if not same_number(number, other):
                    continue
                is_found = True
                source = set(terms(_around(sentence.text, other, _NEAR_IN_SOURCE)))
                is_near = len(near & source) >= _MIN_NEAR * len(near)
                if is_near and _has_unit(text, number, sentence.text, words):
                    return None
        if is_found:
            return f"the number {spelled} belongs to something else in its source"
        return f"the number {spelled} is not in its source"

    def _has_date(self, one: Number, other: Number) -> bool:
        for sentence, numbers in zip(self.sentences, self._numbers, strict=True):
            for first, second in zip(numbers, numbers[1:], strict=False):
                is_pair = (same_number(one, first) and same_number(other, second)) or (
                    same_number(one, second) and same_number(other, first)
                )
                if is_pair and second.start - first.end <= _MAX_GAP and sentence:
                    return True
        return False

    def _knows(self, name: Name, text: str) -> bool:
        if any(name.text in words for words in self._words):
            return True
        if name.opens:
            if name.text in self._lower_words:
                return True
            stem = set(terms(name.text))
            if stem and any(stem <= own for own in self._terms):
                return True
        parts = re.split(r"[-’'.&]", name.text)
        if len(parts) > 1 and all(any(p in words for words in self._words) for p in parts if p):
            return True
        return len(name.text) > 3 and name.text in self._text and not name.text.isascii()

    def _are_together(self, one: Name, other: Name) -> bool:
        """Return whether one source sentence contains both names."""
        return any(
            self._contains(words, one.text) and self._contains(words, other.text)
            for words in self._words
        )

    @staticmethod
    def _contains(words: frozenset[str], name: str) -> bool:
        return name in words or all(part in words for part in re.split(r"[-’'.&]", name) if part)

    def _negation_fault(self, text: str, alignment: Alignment) -> str | None:
        """Compare negations: each side must have one near the shared words if the other has."""
        sources = [self.sentences[i].text for i in alignment.indexes]
        is_negated = _NEGATION.search(text) is not None
        if is_negated and not any(_NEGATION.search(source) for source in sources):
            return "its source has no negation"
        if is_negated:
            return None
        own = set(terms(text))
        for source in sources:
            for found in _NEGATION.finditer(source):
                clause = re.split(r"[,;:—–，；]", source[found.end() : found.end() + 60])[0]
                after = terms(clause)[:3]
                if after and sum(term in own for term in after) * 2 >= len(after):
                    return "it drops a negation of its source"
        return None


class Copies:
    """The sentences printed so far, to recognize one that nearly repeats another."""

    def __init__(self) -> None:
        self._seen: list[tuple[frozenset[str], frozenset[tuple[str, str]]]] = []

    def add(self, text: str) -> None:
        self._seen.append((frozenset(words_of(text)), pairs_of(text)))

    def has(self, text: str) -> bool:
        """Return whether a sentence is a near-copy of an earlier one.

        Example:
            >>> copies = Copies()
            >>> copies.add("Ann will lead the new unit.")
            >>> copies.has("Bob will lead the new unit."), copies.has("It rained.")
            (True, False)
        """
        own = frozenset(words_of(text)), pairs_of(text)
        return any(is_near_copy(own, other) for other in self._seen)


def lower_words(sentences: Sequence[Sentence]) -> frozenset[str]:
    """Return the words that a source writes in lower case."""
    return frozenset(
        word for each in sentences for word in re.findall(r"[^\W\d_]+", each.text) if word.islower()
    )


def _all_words(text: str) -> frozenset[str]:
    """Return the words of a text in lower case, also the parts and plain forms of names."""
    found = set()
    for word in re.findall(r"[\w.&’'-]+", text.casefold()):
        plain = re.sub(r"[’']s?$", "", word.strip(".-&’'"))
        found |= {word, plain, *re.split(r"[-’'.&]", plain)}
        if plain.endswith("s"):
            found.add(plain[:-1])
    return frozenset(found)


def _around(text: str, number: Number, n: int) -> str:
    """Return the text within some characters of a number, from a word's beginning to an end."""
    begin, end = max(0, number.start - n), number.end + n
    before = text[begin : number.start]
    if begin and " " in before:
        before = before.split(" ", 1)[1]
    after = text[number.end : end]
    if end < len(text) and " " in after:
        after = after.rsplit(" ", 1)[0]
    return f"{before} {after}"


def _is_date(text: str, one: Number, other: Number) -> bool:
    is_month = [any(r.startswith("month") for r in each.readings) for each in (one, other)]
    return any(is_month) and other.start - one.end <= _MAX_GAP


def _has_unit(text: str, number: Number, source: str, source_words: frozenset[str]) -> bool:
    """Return whether a source sentence has the unit that follows a number, if one does."""
    if any(reading.startswith(("month", "t")) for reading in number.readings):
        return True
    sign = text[max(0, number.start - 1) : number.start]
    if sign in _SIGNS:
        return sign in source or any(word.startswith(_SIGNS[sign]) for word in source_words)
    found = _UNIT.match(text, number.end)
    if found is None or text[number.end : number.end + 1] in ",;.":
        return True
    unit = found[1].casefold()
    if unit in FUNCTION_WORDS or found[1][0].isupper() or _is_year(number):
        return True
    forms = {unit, unit.rstrip("s"), *_SHORT_UNITS.get(unit, "").split()}
    forms |= {short for short, long in _SHORT_UNITS.items() if unit.rstrip("s") in long.split()}
    forms |= {sign for sign, long in _SIGNS.items() if unit.startswith(long)}
    return bool(forms & source_words) or any(f in source for f in forms & _SIGNS.keys())


def _is_year(number: Number) -> bool:
    return any(reading.isdigit() and 1000 <= int(reading) <= 2200 for reading in number.readings)
