"""Tell prose from code and names, in content whose syntax is not known."""

from __future__ import annotations

import re

# A paragraph of sentences; one that is code rarely begins and ends like them.
_SENTENCES = re.compile(r"[^\W\d_a-z][^{}=;<>|]*[.!?:\u3002\uff01\uff1f\uff1a]")
_MIN_WORDS = 5
_WORDS = re.compile(r"[^\W\d_]{2,}[,:]?[ \t]+[^\W\d_]|[\u3040-\u9fff\u0e00-\u0eff]{4}")
_CODE = re.compile(r"[{}=;<>|\\$]|\w\(|\w[./_]\w|^[ \t]*(?:[#/*:-]|import )", re.MULTILINE)


def are_sentences(paragraph: str) -> bool:
    """Return whether a paragraph has sentences of five words or more.

    Example:
        >>> [are_sentences(each) for each in ("The library is closed today.", "x = f(y) and z.")]
        [True, False]
    """
    return len(paragraph.split()) >= _MIN_WORDS and bool(_SENTENCES.fullmatch(paragraph))


def may_be_prose(text: str) -> bool:
    """Return whether a line of a text has two words or more, and no line has the syntax of code.

    Example:
        >>> [may_be_prose(each) for each in ("One, two!", "word", "a.b c d", "set x = y")]
        [True, False, False, False]
    """
    return _CODE.search(text) is None and any(map(_WORDS.search, text.splitlines()))
