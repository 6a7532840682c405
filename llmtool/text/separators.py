"""Separators of lists that users type, also in Chinese, Japanese and Arabic."""

from __future__ import annotations

import re

COMMA = "[,，、،；﹐﹑､]"


def split_list(text: str) -> list[str]:
    """Return the parts of a list, without surrounding spaces.

    Example:
        >>> split_list("a, b，c、d；e")
        ['a', 'b', 'c', 'd', 'e']
    """
    return [part.strip() for part in re.split(COMMA, text)]
