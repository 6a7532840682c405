"""Long texts in parts that fit: cut between paragraphs, sentences or words, with nothing lost."""

from __future__ import annotations

import re
from collections.abc import Callable

CountTokens = Callable[[str], int]
_PIECE = 20_000  # characters that are counted at once
_RUNT = 3  # a part that is so many times shorter than the longest

# An end of a sentence, with what closes it; in CJK text no space follows.
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])[」』”’）]*\s*|\n\s*\n+")


def split(
    text: str, *, max_tokens: int, count: CountTokens, is_markdown: bool = False
) -> list[str]:
    """Return the parts of a text, each of at most `max_tokens`; joined they are the text.

    Cuts are made at the largest structure that fits: paragraphs, then sentences, words, characters;
    of Markdown headings and blocks before (semantic-text-splitter). Parts are about alike in size,
    so that no runt is left.

    Example:
        >>> split("One two. Three four.", max_tokens=2, count=lambda text: len(text.split()))
        ['One two. ', 'Three four.']
    """
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    n = count_long(text, count)
    if n <= max_tokens:
        return [text]
    splitter = MarkdownSplitter if is_markdown else TextSplitter
    n_parts = -(-n // max_tokens)
    target = min(max_tokens, -(-n // n_parts) + max_tokens // 10)
    parts = splitter.from_callback(count, target, trim=False).chunks(text)
    return _without_runts(parts, max_tokens, count)


def count_long(text: str, count: CountTokens) -> int:
    """Return about how many tokens a text has; a long one is counted in pieces, which costs less.

    A token that a cut parts counts twice: the number is never too small by more than it.
    """
    return sum(count(text[i : i + _PIECE]) for i in range(0, len(text), _PIECE))


def _without_runts(parts: list[str], max_tokens: int, count: CountTokens) -> list[str]:
    """Join parts that are much shorter than others with the next or the last, where they fit."""
    joined: list[str] = []
    for part in parts:
        if joined and min(len(joined[-1]), len(part)) * _RUNT < max(map(len, parts)):
            both = joined[-1] + part
            if count(both) <= max_tokens:
                joined[-1] = both
                continue
        joined.append(part)
    return joined


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with the white space after it; joined they are the text.

    Example:
        >>> split_sentences("It rained. 雨が降った。Then?")
        ['It rained. ', '雨が降った。', 'Then?']
    """
    parts, start = [], 0
    for found in _SENTENCE_END.finditer(text):
        if found.end() > start and text[start : found.end()].strip():
            parts.append(text[start : found.end()])
            start = found.end()
    if start < len(text):
        if text[start:].strip() or not parts:
            parts.append(text[start:])
        else:
            parts[-1] += text[start:]
    return parts
