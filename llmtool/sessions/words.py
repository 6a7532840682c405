"""Split text into words for search, with their positions.

In scripts without spaces between words (Chinese, Japanese, Thai, …) each character is a word, and
adjacent ones in a query form a phrase. Case, width, accents and terminal colour sequences are
ignored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

Span = tuple[int, int]
Phrase = tuple[str, ...]

# Thai and Lao, Myanmar, Khmer, kana and Hangul, ideographs and their punctuation.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u318f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_VOICED = "\u3099\u309a\uff9e\uff9f"  # kana voicing marks; the half-width ones are letters
_ACCENTS = re.compile("[\u0300-\u036f]+")
_SPACE = re.compile(r"\s+")
_QUERY = re.compile(r'"([^"]*)"|([^\s"]+)')
_ESC = "\x1b"
_COLOUR = r"\x1b\[[0-?]*[@-~]"  # in pasted terminal output
_ASCII_WORD = re.compile(f"{_COLOUR}|[a-z0-9]+")
_ASCII_SIGNS = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_MAX_WORD = 200  # characters that are compared; longer words are numbers or encoded data
_SNIPPET, _BEFORE = 160, 48  # characters in a snippet, and before its first hit


def find_words(text: str) -> Iterator[tuple[str, Span]]:
    """Yield each word in normalized form, and its position.

    Example:
        >>> [word for word, _ in find_words("The Café's 雨，C++ 🌧")]
        ['the', 'cafe', 's', '雨', 'c', '🌧']
    """
    for found in _pattern().finditer(text):
        if found[0][0] != _ESC:
            yield _fold(found[0]), found.span()


def join_words(text: str) -> str:
    """Return the normalized words of a text, separated by spaces."""
    if text.isascii():  # equivalent, but many times faster
        found = _ASCII_WORD.findall(text.lower())
        return " ".join(word[:_MAX_WORD] for word in found if word[0] != _ESC)
    return " ".join(word for word, _ in find_words(text))


def read_query(query: str) -> list[Phrase]:
    """Return the words and quoted phrases of a query; it has no operators.

    A word of several parts (`don't`, `a.b`, 図書館) is a phrase, too.

    Example:
        >>> read_query('rain OR "the old mill" 図書館 -')
        [('rain',), ('or',), ('the', 'old', 'mill'), ('図', '書', '館')]
    """
    phrases = []
    for quoted, plain in _QUERY.findall(query):
        phrases.append(tuple(word for word, _ in find_words(quoted or plain)))
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))


def find_phrases(text: str, phrases: Iterable[Phrase]) -> list[Span]:
    """Return the positions of the phrases in a text, in order; overlapping ones are merged."""
    words = list(find_words(text))
    by_first: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        by_first.setdefault(phrase[0], []).append(phrase)
    spans: list[Span] = []
    for at, (word, (start, _)) in enumerate(words):
        for phrase in by_first.get(word, ()):
            if all(
                at + n < len(words) and words[at + n][0] == each for n, each in enumerate(phrase)
            ):
                end = words[at + len(phrase) - 1][1][1]
                if spans and start < spans[-1][1]:
                    start, end = spans[-1][0], max(end, spans.pop()[1])
                spans.append((start, end))
    return spans


def cut_snippet(text: str, hits: list[Span]) -> tuple[str, tuple[Span, ...]]:
    """Return one line of text around the densest group of hits, and the positions of the hits.

    An ellipsis replaces omitted text.
    """
    anchor = _densest(hits)
    begin = _edge(text, max(0, anchor - _BEFORE), anchor, step=1)
    end = _edge(text, min(len(text), begin + _SNIPPET), anchor, step=-1)
    inside = [(start, min(stop, end)) for start, stop in hits if begin <= start < end]
    line = "…" if text[:begin].strip() else ""
    spans: list[Span] = []
    at = begin
    for start, stop in inside:
        between = _SPACE.sub(" ", text[at:start])
        line += between if spans else between.lstrip()
        spans.append((len(line), len(line) + len(hit := _SPACE.sub(" ", text[start:stop]))))
        line += hit
        at = stop
    rest = _SPACE.sub(" ", text[at:end]).rstrip()
    line += rest if spans else rest.lstrip()
    return line + ("…" if text[end:].strip() else ""), tuple(spans)


def _densest(hits: list[Span]) -> int:
    """Return the start of the first hit of the densest group."""
    best, most, last = 0, 0, 0
    for n, (start, _) in enumerate(hits):
        while last < len(hits) and hits[last][0] < start + _SNIPPET - _BEFORE:
            last += 1
        if last - n > most:
            best, most = start, last - n
    return best


def _edge(text: str, at: int, anchor: int, *, step: int) -> int:
    """Move a cut to a word boundary, by at most 20 characters and not past the anchor."""
    if at in (0, len(text)) or text[at].isspace() or text[at - 1].isspace():
        return at
    for there in range(at, at + 20 * step, step):
        if there == anchor or text[there].isspace():
            return there
    return at


def _fold(word: str) -> str:
    """Normalize a word for comparison; ASCII punctuation is removed."""
    if word.isascii():
        return word.lower()[:_MAX_WORD]
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", word[: 2 * _MAX_WORD]))
    folded = unicodedata.normalize("NFKC", plain).casefold()
    return (_ASCII_SIGNS.sub("", folded) or word)[:_MAX_WORD]


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """Return the pattern of a word: a character of an unspaced script, letters, or a symbol."""
    marks, symbols = _ranges("M"), _ranges("S", "Co", "Cn")
    unspaced = f"[{_UNSPACED}][{marks}{_VOICED}]*"
    spaced = f"(?:(?![{_UNSPACED}])[^\\W_])(?:(?![{_UNSPACED}])[^\\W_{_VOICED}]|[{marks}])*"
    return re.compile(
        f"{_COLOUR}|{unspaced}|{spaced}|[{symbols}\U00040000-\U000dffff\U000f0000-\U0010ffff]"
    )


def _ranges(*categories: str) -> str:
    """Return the non-ASCII characters of Unicode categories as ranges of a pattern."""
    found: list[list[int]] = []
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x20000)):
        if unicodedata.category(chr(code)).startswith(categories):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in found)
