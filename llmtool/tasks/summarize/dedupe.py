"""Remove repeated sentences from a complete or streamed text."""

from __future__ import annotations

import re

from llmtool.text.chunks import split_sentences

_ITEM = re.compile(r"\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])")  # before a list item
_ITEM_START = re.compile(r"\n[ \t]*(?:[-*•]|\d{1,3}[.)]?)?\Z")  # the start of a possible list item


class RepetitionFilter:
    """Removes repeated sentences from a stream of text.

    Text is returned immediately, unless its sentence begins like an earlier one. Then it is
    buffered until the two differ.

    Example:
        >>> text = RepetitionFilter()
        >>> [text.add(piece) for piece in ("It rains. It", " pours. ", "It rains.", " So what?")]
        ['It rains. ', 'It pours. ', '', 'So what?']
        >>> text.end()
        ''
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._open = ""  # the unfinished sentence
        self._n_emitted = 0  # of its characters

    def add(self, piece: str) -> str:
        """Add a piece and return the text that can be emitted."""
        *ended, last = _split(self._open + piece) or [""]
        emitted = "".join(self._close(sentence) for sentence in ended)
        self._open = last
        begin = _ITEM_START.search(last)
        end = max(self._n_emitted, begin.start() if begin else len(last))
        key = _key(last[:end])
        if not self._n_emitted and any(seen.startswith(key) for seen in self._seen):
            return emitted
        emitted += last[self._n_emitted : end]
        self._n_emitted = end
        return emitted

    def end(self) -> str:
        """Return the buffered text, unless it is a repetition."""
        return self._close(self._open)

    def _close(self, sentence: str) -> str:
        key, begin = _key(sentence), self._n_emitted
        self._open, self._n_emitted = "", 0
        if not begin and key and key in self._seen:
            return ""
        self._seen.add(key)
        return sentence[begin:]


def without_repeats(text: str) -> str:
    """Return a text without repeated sentences.

    Example:
        >>> without_repeats("It rains. It pours. It rains!  So what?")
        'It rains. It pours. So what?'
    """
    filter = RepetitionFilter()
    return (filter.add(text) + filter.end()).rstrip()


def _split(text: str) -> list[str]:
    """Split a text into sentences and list items."""
    found = []
    for sentence in split_sentences(text):
        cuts = [0, *(item.end() for item in _ITEM.finditer(sentence)), len(sentence)]
        found += [sentence[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
    return found


def _key(sentence: str) -> str:
    return "".join(c for c in sentence.casefold() if c.isalnum())
