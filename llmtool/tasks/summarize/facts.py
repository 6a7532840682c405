"""What can be checked of a summary without understanding it: its numbers and names.

But: a number that is written in words, a name at the begin of a sentence alone and all of a script
without capitals are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmtool.text.chunks import split_sentences

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAME = re.compile(r"[A-ZÀ-ÖØ-ÞА-Я][\w’'-]*")
_WORD = re.compile(r"[\w’'-]+")
# Of the facts that there is room for, the share that a summary has at least.
_LEAST_SHARE = 0.6
_HEADING = re.compile(r"^ {0,3}#{1,6} .*\n?", re.MULTILINE)
_FENCE = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_FEW = 4  # facts; of fewer nothing can be told


def find_facts(text: str) -> set[str]:
    """Return the numbers of a text, and the words with a capital that begin no sentence.

    Example:
        >>> sorted(find_facts("The bus to Marbury leaves at 9:40. It costs 1,200 euros."))
        ['1200', '9:40', 'marbury']
    """
    found = {_plain(number) for number in _NUMBER.findall(text)}
    for sentence in split_sentences(text):
        first = _WORD.search(sentence)
        begin = first.end() if first else 0
        found |= {name.casefold() for name in _NAME.findall(sentence, begin)}
    return found


def find_fault(summary: str, sources: Sequence[str], *, n_words: int = 0) -> str | None:
    """Return what a summary of notes lost or invented, None where it holds enough of them.

    `n_words` is how long it was asked to be, where it was: a shorter one may lose no more for that.

    Example:
        >>> find_fault("It costs 50 euros.", ["The bus costs 40 euros."])
        'has numbers that its sources do not have: 50'
    """
    source = "\n".join(sources)
    known = find_facts(source) | {word.casefold() for word in _WORD.findall(source)}
    told = find_facts(summary)
    invented = sorted(fact for fact in told - known if fact[0].isdigit())
    if invented:
        return f"has numbers that its sources do not have: {', '.join(invented[:3])}"
    strange = [fact for fact in told - known if not fact[0].isdigit()]
    if len(strange) > max(1, len(told) // 4):
        return f"has names that its sources do not have: {', '.join(sorted(strange)[:3])}"
    held = find_facts(source)
    if len(held) < _FEW:
        return None
    words = {word.casefold() for word in _WORD.findall(summary)} | told
    share = len(held & words) / len(held)
    room = min(1.0, max(n_words, count_words(summary)) / max(1, count_words(source)))
    if share < _LEAST_SHARE * room:
        return f"holds {len(held & words)} of the {len(held)} numbers and names of its sources"
    return None


def choose_sentences(notes: Sequence[str], n_words: int) -> str:
    """Return the sentences of notes that hold most, in their order, up to so many words.

    Code and headings are none.

    Example:
        >>> choose_sentences(["It was nice. The bus costs 40 euros."], 6)
        'The bus costs 40 euros.'
    """
    texts = [_FENCE.sub("\n\n", _HEADING.sub("", note)) for note in notes]
    if not any(text.strip() for text in texts):
        texts = list(notes)  # nothing but headings and code
    sentences = [" ".join(part.split()) for text in texts for part in split_sentences(text)]
    unique = [each for each in dict.fromkeys(sentences) if each]
    told: set[str] = set()
    chosen: set[str] = set()
    left = n_words
    rest = list(unique)
    while rest:
        best = max(rest, key=lambda s: (len(find_facts(s) - told) + 0.1) / max(4, count_words(s)))
        rest.remove(best)
        if count_words(best) <= left or not chosen:
            chosen.add(best)
            told |= find_facts(best)
            left -= count_words(best)
    return " ".join(sentence for sentence in unique if sentence in chosen)


def count_words(text: str) -> int:
    """Return how many words a text has; of scripts without spaces, two characters count as one.

    Example:
        >>> count_words("One two."), count_words("图书馆闭馆")
        (2, 3)
    """
    wide = sum("\u2e80" <= c <= "\ud7ff" or "\uf900" <= c <= "\ufaff" for c in text)
    words = re.sub(r"[\u2e80-\ud7ff\uf900-\ufaff]", " ", text)
    return len(words.split()) + -(-wide // 2)


def _plain(number: str) -> str:
    """Return a number without what parts its thousands."""
    return re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", number)
