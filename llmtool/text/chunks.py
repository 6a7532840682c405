"""Split long texts between paragraphs, sentences or words, without losing a character."""

from __future__ import annotations

from collections.abc import Callable

CountTokens = Callable[[str], int]
_MAX_CHARACTERS = 20_000  # per call of a token counter
_MIN_SIZE_RATIO = 3  # a shorter part is joined with its neighbor


def split(
    text: str, *, max_tokens: int, count: CountTokens, is_markdown: bool = False
) -> list[str]:
    """Split a text into parts of at most `max_tokens` and similar size.

    It is split between paragraphs if they fit, else between sentences, words or characters, and in
    Markdown first between headings and blocks (semantic-text-splitter).

    Example:
        >>> split("One two. Three four.", max_tokens=2, count=lambda text: len(text.split()))
        ['One two. ', 'Three four.']
    """
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    n = estimate_tokens(text, count)
    if n <= max_tokens:
        return [text]
    splitter = MarkdownSplitter if is_markdown else TextSplitter
    n_parts = -(-n // max_tokens)
    target = min(max_tokens, -(-n // n_parts) + max_tokens // 10)
    parts = splitter.from_callback(count, target, trim=False).chunks(text)
    return _join_short_parts(parts, max_tokens, count)


def estimate_tokens(text: str, count: CountTokens) -> int:
    """Estimate the number of tokens; a long text is counted in pieces, which is faster.

    A token that is split between two pieces can count twice.
    """
    return sum(count(text[i : i + _MAX_CHARACTERS]) for i in range(0, len(text), _MAX_CHARACTERS))


def _join_short_parts(parts: list[str], max_tokens: int, count: CountTokens) -> list[str]:
    """Join parts that are much shorter than the longest with a neighbor, if both fit."""
    joined: list[str] = []
    longest = max(map(len, parts), default=0)
    for part in parts:
        if joined and min(len(joined[-1]), len(part)) * _MIN_SIZE_RATIO < longest:
            both = joined[-1] + part
            if count(both) <= max_tokens:
                joined[-1] = both
                continue
        joined.append(part)
    return joined
