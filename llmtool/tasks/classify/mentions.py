"""Texts that name labels, such as "This is not about sports": a model repeats what it has read.

Such a text is also scored without the names, and the mean of the scores gives these more weight. So
a name is evidence, but does not decide alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "…"


class LabelMask:
    """Replaces the names of labels in texts.

    Example:
        >>> mask = LabelMask(["sports", "news"])
        >>> mask.apply("No sports news: A sport for all")
        'No … …: A … for all'
        >>> mask.apply("Newspapers"), mask.apply("News!")
        (None, None)
    """

    def __init__(self, names: Iterable[str]) -> None:
        words = sorted(map(_pattern, names), key=len, reverse=True)
        self._regex = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)

    def apply(self, text: str) -> str | None:
        """Return the text without names of labels, None if it has no names or nothing else."""
        masked, n = self._regex.subn(MASK, text)
        return masked if n and re.search(r"\w", masked) else None


def _pattern(name: str) -> str:
    """Return a regex for a label and its singular or plural."""
    words = name.split()
    if len(name) > 2 and name[-1:] in "sS" and name[-2:-1] not in "sS":
        words[-1] = words[-1][:-1]
    return r"\s+".join(map(re.escape, words)) + "s?"
