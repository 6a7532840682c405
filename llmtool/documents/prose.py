"""Tell prose from code and names, in content whose syntax is not known."""

from __future__ import annotations

import re

# A paragraph of sentences; one that is code rarely begins and ends like them.
_SENTENCES = re.compile(r"[^\W\d_a-z][^{}=;<>|]*[.!?:\u3002\uff01\uff1f\uff1a]")
_MIN_WORDS = 5
_WORDS = re.compile(r"(?:[^\W\d_]+(?:['’-][^\W\d_]+)*,?\s+){2,}[^\W\d_]+(?:['’-][^\W\d_]+)*[.!?:]?")


def are_sentences(paragraph: str) -> bool:
    """Return whether a paragraph has sentences of five words or more.

    Example:
        >>> [are_sentences(each) for each in ("The library is closed today.", "x = f(y) and z.")]
        [True, False]
    """
    return len(paragraph.split()) >= _MIN_WORDS and bool(_SENTENCES.fullmatch(paragraph))


def are_words(line: str) -> bool:
    """Return whether a line has three words or more, and no other characters.

    Example:
        >>> [are_words(each) for each in ("A title of it", "a.b c d", "single: one two")]
        [True, False, False]
    """
    return _WORDS.fullmatch(line.strip()) is not None
