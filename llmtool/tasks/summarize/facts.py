"""Check the numbers and names of a summary against its sources.

Limitations: it misses numbers in words, names that occur only at the start of sentences, and all
names in scripts without capital letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmtool.text.chunks import split_sentences

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAME = re.compile(r"[A-ZÀ-ÖØ-ÞА-Я][\w’'-]*")
_WORD = re.compile(r"[\w’'-]+")
# Share of the facts that a summary needs, scaled by its length relative to the source.
_MIN_SHARE = 0.6
_HEADING = re.compile(r"^ {0,3}#{1,6} .*\n?", re.MULTILINE)
_FENCE = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
# Syntax and addresses, which are not facts: images, targets of links, tags, URLs.
_SYNTAX = re.compile(
    r"""!\[[^\]\n]{0,500}\](?:\([^()\n]{0,2000}\)|\[[^\]\n]{0,500}\])?
    |(?<=\])(?:\([^()\n]{0,2000}\)|\[[^\]\n]{0,500}\])
    |^[ ]{0,3}\[[^\]\n]{1,500}\]:[ \t].*
    |</?[A-Za-z][^<>\n]{0,2000}>
    |(?:https?|ftp)://[^\s<>()"']+|www\.[^\s<>()"']+""",
    re.MULTILINE | re.VERBOSE,
)
_MIN_FACTS = 4  # with fewer, the share is not meaningful


def find_facts(text: str) -> set[str]:
    """Return the numbers and the capitalized words of a text, except the first word of a sentence.

    Example:
        >>> sorted(find_facts("The bus to Marbury leaves at 9:40. It costs 1,200 euros."))
        ['1200', '9:40', 'marbury']
        >>> find_facts("See ![Logo](Img/Logo.png) and [the site](https://Example.org/2024/API).")
        set()
    """
    text = _SYNTAX.sub(" ", text)
    found = {_without_separators(number) for number in _NUMBER.findall(text)}
    for sentence in split_sentences(text):
        first = _WORD.search(sentence)
        begin = first.end() if first else 0
        found |= {name.casefold() for name in _NAME.findall(sentence, begin)}
    return found


def find_fault(summary: str, sources: Sequence[str], *, n_words: int = 0) -> str | None:
    """Return what is wrong with a summary, None if it invents no facts and has enough of them.

    `n_words` is the requested length; a summary that is shorter must not have fewer facts.

    Example:
        >>> find_fault("It costs 50 euros.", ["The bus costs 40 euros."])
        'has numbers that are not in its sources: 50'
    """
    source = "\n".join(sources)
    known = find_facts(source) | {word.casefold() for word in _WORD.findall(source)}
    found = find_facts(summary)
    invented = sorted(fact for fact in found - known if fact[0].isdigit())
    if invented:
        return f"has numbers that are not in its sources: {', '.join(invented[:3])}"
    unknown_names = [fact for fact in found - known if not fact[0].isdigit()]
    if len(unknown_names) > max(1, len(found) // 4):
        return f"has names that are not in its sources: {', '.join(sorted(unknown_names)[:3])}"
    source_facts = find_facts(source)
    if len(source_facts) < _MIN_FACTS:
        return None
    words = {word.casefold() for word in _WORD.findall(summary)} | found
    share = len(source_facts & words) / len(source_facts)
    relative_length = min(1.0, max(n_words, count_words(summary)) / max(1, count_words(source)))
    if share < _MIN_SHARE * relative_length:
        n = len(source_facts & words)
        return f"has {n} of the {len(source_facts)} numbers and names of its sources"
    return None


def choose_sentences(notes: Sequence[str], n_words: int) -> str:
    """Choose the sentences with the most facts, up to a number of words, and keep their order.

    Code and headings are ignored.

    Example:
        >>> choose_sentences(["It was nice. The bus costs 40 euros."], 6)
        'The bus costs 40 euros.'
    """
    texts = [_FENCE.sub("\n\n", _HEADING.sub("", note)) for note in notes]
    if not any(text.strip() for text in texts):
        texts = list(notes)  # nothing but headings and code
    sentences = [" ".join(part.split()) for text in texts for part in split_sentences(text)]
    unique = [each for each in dict.fromkeys(sentences) if each]
    covered: set[str] = set()
    chosen: set[str] = set()
    left = n_words
    rest = list(unique)
    while rest:
        best = max(
            rest, key=lambda s: (len(find_facts(s) - covered) + 0.1) / max(4, count_words(s))
        )
        rest.remove(best)
        if count_words(best) <= left or not chosen:
            chosen.add(best)
            covered |= find_facts(best)
            left -= count_words(best)
    return " ".join(sentence for sentence in unique if sentence in chosen)


def count_words(text: str) -> int:
    """Count the words of a text; two CJK characters count as a word.

    Example:
        >>> count_words("One two."), count_words("图书馆闭馆")
        (2, 3)
    """
    wide = sum("\u2e80" <= c <= "\ud7ff" or "\uf900" <= c <= "\ufaff" for c in text)
    words = re.sub(r"[\u2e80-\ud7ff\uf900-\ufaff]", " ", text)
    return len(words.split()) + -(-wide // 2)


def _without_separators(number: str) -> str:
    """Return a number without thousands separators."""
    return re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", number)
