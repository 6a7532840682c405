"""No sentence twice: of a whole text, and of one that is told as it is written."""

from __future__ import annotations

import re

from llmtool.text.chunks import split_sentences

_ITEM = re.compile(r"\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])")  # before an item of a list
_BEGIN = re.compile(r"\n[ \t]*(?:[-*•]|\d{1,3}[.)]?)?\Z")  # what may become one


class RepetitionFilter:
    """Text in pieces, without the sentences that it had before.

    A piece is told at once, unless its sentence has begun like an earlier one: then it waits until
    the two differ.

    Example:
        >>> text = RepetitionFilter()
        >>> [text.add(piece) for piece in ("It rains. It", " pours. ", "It rains.", " So what?")]
        ['It rains. ', 'It pours. ', '', 'So what?']
        >>> text.end()
        ''
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._open = ""  # the sentence that has not ended
        self._n_told = 0  # of its characters

    def add(self, piece: str) -> str:
        """Return what can be told now."""
        *ended, last = _split(self._open + piece) or [""]
        told = "".join(self._close(sentence) for sentence in ended)
        self._open = last
        begin = _BEGIN.search(last)
        end = max(self._n_told, begin.start() if begin else len(last))
        key = _key(last[:end])
        if not self._n_told and any(seen.startswith(key) for seen in self._seen):
            return told
        told += last[self._n_told : end]
        self._n_told = end
        return told

    def end(self) -> str:
        """Return what has waited, if it is no repetition."""
        return self._close(self._open)

    def _close(self, sentence: str) -> str:
        key, begin = _key(sentence), self._n_told
        self._open, self._n_told = "", 0
        if not begin and key and key in self._seen:
            return ""
        self._seen.add(key)
        return sentence[begin:]


def without_repeats(text: str) -> str:
    """Return a text in which no sentence stands twice.

    Example:
        >>> without_repeats("It rains. It pours. It rains!  So what?")
        'It rains. It pours. So what?'
    """
    told = RepetitionFilter()
    return (told.add(text) + told.end()).rstrip()


def _split(text: str) -> list[str]:
    """Return the sentences of a text; an item of a list is one whatever it ends with."""
    found = []
    for sentence in split_sentences(text):
        cuts = [0, *(item.end() for item in _ITEM.finditer(sentence)), len(sentence)]
        found += [sentence[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
    return found


def _key(sentence: str) -> str:
    return "".join(c for c in sentence.casefold() if c.isalnum())
