"""Parse the requested length of a summary."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from llmtool.errors import UsageError, about_option
from llmtool.option_names import option
from llmtool.tasks.options import Style

Unit = Literal["words", "sentences", "points", "paragraphs"]

_NAMED: dict[str, dict[Style, tuple[str, int]]] = {
    # The phrase of the prompt, and its approximate number of words.
    "short": {
        "paragraph": ("two sentences", 40), "bullets": ("three short lines", 45),
        "headline": ("at most six words", 6), "tldr": ("one short sentence", 15),
    },
    "medium": {
        "paragraph": ("four sentences", 80), "bullets": ("five short lines", 75),
        "headline": ("at most ten words", 10), "tldr": ("one sentence", 25),
    },
    "long": {
        "paragraph": ("ten sentences", 200), "bullets": ("ten lines", 160),
        "headline": ("at most fifteen words", 15), "tldr": ("two sentences", 45),
    },
}  # fmt: skip
_COUNTED = re.compile(
    r"(\d{1,5})\s*(words?|sentences?|bullets?|points?|lines?|paragraphs?|w|s|[个個]?字|文字"
    r"|[词詞語]|[个個]?[词詞]|句[话話]?|文|[条條點点行]|段落?)",
    re.IGNORECASE,
)
_SINGLE = ("sentence", "paragraph", "句话", "句話", "段", "段落")  # a number is not necessary
_CJK_UNITS = str.maketrans("词詞語句文条條點点行", "wwwssppppp")
_NUMERALS = {character: str(n) for n, character in enumerate("一二三四五六七八九十", 1)} | {
    "两": "2",
    "兩": "2",
}
_MIN_WORDS = 15  # of a summary of unspecified length
_WORDS_PER_SENTENCE = 18
_WORDS_PER_PARAGRAPH = 70


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """A length: `phrase` is its wording in the prompt, `n_words` an approximate number of words.

    `n` and `unit` are set if a number was requested. `max_sentences` is the limit of styles of one
    line.
    """

    phrase: str
    n_words: int
    n: int | None = None
    unit: Unit | None = None
    max_sentences: int | None = None

    @property
    def counts_sentences(self) -> bool:
        """Whether the length is a number of sentences, as opposed to words."""
        return self.unit in ("sentences", "points")

    def within(self, n_source_words: int) -> Length:
        """Return this length, shortened for a short source if no number was requested.

        Example:
            >>> parse_length("medium", "paragraph").within(60).n_words
            30
        """
        if self.n is not None:
            return self
        longest = max(min(_MIN_WORDS, n_source_words), n_source_words // 2)
        return msgspec.structs.replace(self, n_words=min(self.n_words, longest))


@about_option("length")
def parse_length(length: str, style: Style) -> Length:
    """Parse a length, and limit it to a line for the styles "headline" and "tldr".

    See `_parse`.

    Example:
        >>> parse_length("100 words", "paragraph").n_words, parse_length("short", "tldr").phrase
        (100, 'one short sentence')
    """
    found = _parse(length, style)
    if style not in ("headline", "tldr"):
        return found
    is_long = style == "tldr" and (found.phrase == _NAMED["long"]["tldr"][0])
    n = found.n if found.unit == "sentences" else None
    return msgspec.structs.replace(found, max_sentences=n or (2 if is_long else 1))


def _parse(length: str, style: Style) -> Length:
    """Parse `short`, `medium`, `long`, or a number of words, sentences, points or paragraphs.

    A number without a unit counts words, or points in style "bullets".

    Raises:
        UsageError: the length is not valid, or not for this style.
    """
    word = length.strip().lower()
    if word.isdigit():
        word += " points" if style == "bullets" else " words"
    if word in _NAMED:
        phrase, n_words = _NAMED[word][style]
        return Length(phrase=phrase, n_words=n_words)
    if word in _SINGLE:
        word = f"1 {word}"
    if word[:1] in _NUMERALS and len(word) > 1:
        word = _NUMERALS[word[0]] + word[1:]
    found = _COUNTED.fullmatch(word)
    if found is None or not int(found[1]):
        raise UsageError(
            f"invalid length {length!r}; use short, medium, long, or a number such as "
            "'100 words', '3 sentences' or '5 bullets'"
        )
    n, name = int(found[1]), found[2].lstrip("个個")
    unit = name[0].translate(_CJK_UNITS)
    if name in ("字", "文字"):
        n_words = -(-n // 2)  # two characters count as a word
        return Length(phrase=f"about {n} characters", n_words=n_words, n=n_words, unit="words")
    if name.startswith(("paragraph", "段")):
        if style != "paragraph":
            raise UsageError(
                f"invalid length {length!r} for style {style!r}; omit {option('style')}"
            )
        phrase = "one paragraph" if n == 1 else f"{n} paragraphs"
        return Length(phrase=phrase, n_words=n * _WORDS_PER_PARAGRAPH, n=n, unit="paragraphs")
    if unit == "w":
        return Length(phrase=f"about {n} words", n_words=n, n=n, unit="words")
    if unit == "s" and style != "bullets":
        phrase = "one sentence" if n == 1 else f"{n} sentences"
        return Length(phrase=phrase, n_words=n * _WORDS_PER_SENTENCE, n=n, unit="sentences")
    if style not in ("bullets", "paragraph"):
        raise UsageError(
            f"invalid length {length!r} for style {style!r}; "
            f"use {option('style', 'bullets')} for points"
        )
    phrase = "one short line" if n == 1 else f"{n} short lines"
    return Length(phrase=phrase, n_words=n * _WORDS_PER_SENTENCE, n=n, unit="points")
