"""Parse and enforce the requested length of a summary."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.options import Style
from llmtool.tasks.summarize.facts import count_words
from llmtool.text.chunks import split_sentences

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
_LOW, _HIGH = 0.7, 1.3  # times the requested number of words
_WORDS_PER_SENTENCE = 18
_WORDS_PER_PARAGRAPH = 70


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """A length: `phrase` is its wording in the prompt, `n_words` an approximate number of words.

    `n` and `unit` are set if a number was requested, which is then enforced.
    """

    phrase: str
    n_words: int
    n: int | None = None
    unit: Unit | None = None

    def expression(self, style: Style) -> str | None:
        """Return a regular expression for replies of this length, None if it is not constrained."""
        if style == "bullets" and self.n is not None and self.unit != "words":
            return rf"- [^\n]{{10,240}}(\n- [^\n]{{10,240}}){{{self.n - 1}}}"
        if self.unit == "paragraphs" and self.n is not None:
            return rf"[^\n]{{40,2000}}(\n\n[^\n]{{40,2000}}){{{self.n - 1}}}"
        if style == "paragraph" and self.unit == "words" and self.n is not None:
            min_words = int(self.n * (_LOW + 0.1))
            return rf"([^\s]+[ \n]+){{{max(1, min_words)}}}[^\s][\s\S]*[.!?…。！？]"
        return None

    def truncate(self, text: str) -> str:
        """Drop sentences from the end of a text that is too long.

        Example:
            >>> parse_length("4 words", "paragraph").truncate("One two three four. Five six seven.")
            'One two three four.'
        """
        if self.n is None or self.unit in ("points", "paragraphs"):
            return text
        shortened, n = "", 0
        for sentence in split_sentences(text):
            n += 1 if self.unit == "sentences" else count_words(sentence)
            if n > (self.n if self.unit == "sentences" else self.n * _HIGH) and shortened:
                break
            shortened += sentence
        return shortened.rstrip()

    def is_met(self, text: str) -> bool:
        """Return whether a text has this length; a number of words is met within 30 %."""
        if self.n is None:
            return True
        if self.unit == "words":
            return self.n * _LOW <= count_words(text) <= self.n * _HIGH
        if self.unit == "points":
            return len([line for line in text.splitlines() if line.strip()]) == self.n
        if self.unit == "paragraphs":
            return len(re.findall(r"\S.*(?:\n.*\S.*)*", text)) == self.n
        return len(split_sentences(text)) == self.n


def parse_length(length: str, style: Style) -> Length:
    """Parse `short`, `medium`, `long`, or a number of words, sentences, points or paragraphs.

    A number without a unit counts words, or points in style "bullets".

    Raises:
        UsageError: the length is not valid, or not for this style.

    Example:
        >>> parse_length("100 words", "paragraph").n_words, parse_length("short", "tldr").phrase
        (100, 'one short sentence')
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
        # Two characters count as a word; not enforced, as no spaces separate them.
        return Length(phrase=f"about {n} characters", n_words=-(-n // 2))
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
