"""Words of a text: their number, and the terms by which sentences are compared."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

WIDE = "\u2e80-\ud7ff\uf900-\ufaff"  # characters of scripts that separate no words
_WIDE = re.compile(f"[{WIDE}]")
_LETTERS = "\u2e80-\u2fff\u3005-\u3007\u3040-\ud7ff\uf900-\ufaff"  # without punctuation
_TERM = re.compile(rf"[^\W_{WIDE}]+(?:[’'][^\W_{WIDE}]+)*|[{_LETTERS}]+")
_POSSESSIVE = re.compile(r"[’'](?:s|S)?$")
_STEM = 6  # characters; a longer word is compared by its beginning
_SAME_WORDS, _SAME_PAIRS = 0.65, 0.55  # of a near-copy (Dice coefficient)
# Words that connect others. A missing one only adds a weak term.
FUNCTION_WORDS = frozenset(
    """a about above after again against all also although an and any are as at be because been
    before being below between both but by can could did do does doing down during each either few
    for from further had has have having he her here hers herself him himself his how however i if
    in into is it its itself just me meanwhile more most my myself near neither no nor not now of
    off on once one only or other others our ours out over own per same she should since so some
    still such than that the their theirs them themselves then there therefore these they this
    those through thus to today together too under until up upon us very was we were what when
    where whether which while who whom whose why will with within without would yet you your
    der die das den dem des ein eine einer eines einem einen und oder aber ist sind war waren wird
    werden wurde wurden nicht auch auf aus bei bis durch für mit nach seit über um unter von vor zu
    zum zur im am als wie dass es er sie wir ihr sich nur noch so
    le la les un une des du de et ou mais est sont était étaient dans sur pour par avec sans sous
    ce cet cette ces il elle ils elles on nous vous qui que quoi dont où ne pas plus au aux en
    el los las una unos unas y o pero es son era eran para por con sin sobre entre este esta estos
    estas que se su sus del al lo como más no""".split()
)


def count_words(text: str) -> int:
    """Count the words of a text; two CJK characters count as a word.

    Example:
        >>> count_words("One two."), count_words("图书馆闭馆")
        (2, 3)
    """
    n_narrow, n_wide = count_narrow_and_wide(text)
    return n_narrow + -(-n_wide // 2)


def count_narrow_and_wide(text: str) -> tuple[int, int]:
    """Count the words of other scripts, and the CJK characters."""
    n_wide = len(_WIDE.findall(text))
    return len((_WIDE.sub(" ", text) if n_wide else text).split()), n_wide


def terms(text: str) -> list[str]:
    """Return the content words of a text in order, reduced to stems, and the bigrams of CJK text.

    Example:
        >>> terms("The ferries' captain was recommended."), terms("图书馆")
        (['ferrie', 'captai', 'recomm'], ['图书', '书馆'])
    """
    found = []
    for word in _TERM.findall(text):
        if _WIDE.match(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif stem := _stem(word):
            found.append(stem)
    return found


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    """Return the stem of a content word, "" for a function word."""
    plain = _POSSESSIVE.sub("", word).casefold()
    if plain in FUNCTION_WORDS or (len(plain) < 2 and not plain.isdigit()):
        return ""
    if len(plain) > 3 and plain.endswith("s") and not plain.endswith("ss"):
        plain = plain[:-1]
    return plain if plain[0].isdigit() else plain[:_STEM]


def words_of(text: str) -> list[str]:
    """Return all words of a text in lower case; a CJK character is a word.

    Example:
        >>> words_of("It's 9:40, 雨。")
        ["it's", '9', '40', '雨']
    """
    found = []
    for word in _TERM.findall(text):
        found += list(word) if _WIDE.match(word) else [word.casefold()]
    return found


def pairs_of(text: str) -> frozenset[tuple[str, str]]:
    """Return the pairs of neighboring words of a text."""
    words = words_of(text)
    return frozenset(zip(words, words[1:], strict=False))


WordSets = tuple[frozenset[str], frozenset[tuple[str, str]]]  # words and pairs of neighbors


def is_near_copy(one: WordSets, other: WordSets) -> bool:
    """Return whether two sentences have most words or pairs of words in common.

    Example:
        >>> texts = "Ann will lead the new unit.", "Bob will lead the new unit."
        >>> is_near_copy(*[(frozenset(words_of(each)), pairs_of(each)) for each in texts])
        True
    """
    return _dice(one[0], other[0]) >= _SAME_WORDS or _dice(one[1], other[1]) >= _SAME_PAIRS


def _dice(one: frozenset[Any], other: frozenset[Any]) -> float:
    return 2 * len(one & other) / (len(one) + len(other) or 1)
