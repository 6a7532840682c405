"""Long texts in parts that fit: cut between paragraphs, sentences or words, with nothing lost."""

from __future__ import annotations

import re
from collections.abc import Callable

CountTokens = Callable[[str], int]

# An end of a sentence, with what closes it; in CJK text no space follows.
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])[」』”’）]*\s*|\n\s*\n+")


def split(text: str, *, max_tokens: int, count: CountTokens) -> list[str]:
    """Return the parts of a text, each of at most `max_tokens`; joined they are the text.

    Cuts are made at the largest structure that fits: paragraphs, then sentences, words, characters
    (semantic-text-splitter). Parts are about alike in size, so that no runt is left.

    Example:
        >>> split("One two. Three four.", max_tokens=2, count=lambda text: len(text.split()))
        ['One two. ', 'Three four.']
    """
    from semantic_text_splitter import TextSplitter

    n = count(text)
    if n <= max_tokens:
        return [text]
    n_parts = -(-n // max_tokens)
    target = min(max_tokens, -(-n // n_parts) + max_tokens // 10)
    return TextSplitter.from_callback(count, target, trim=False).chunks(text)


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
