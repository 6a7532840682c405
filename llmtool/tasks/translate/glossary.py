"""Terms with translations of their own: those that a passage has are told to the model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmtool.errors import UsageError


class Glossary:
    """Pairs of a term and its translation.

    Terms are found whatever their case, as whole words where a script has words.

    Example:
        >>> Glossary([("pull request", "Pull-Request"), ("branch", "Zweig")]).terms_in("A branch.")
        [('branch', 'Zweig')]
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs: dict[str, tuple[str, str]] = {}
        for term, translation in pairs:
            term, translation = term.strip(), translation.strip()
            if not term or not translation:
                raise UsageError("a glossary has a term and its translation in every row")
            self._pairs.setdefault(term.casefold(), (term, translation))
        longest_first = sorted(self._pairs, key=len, reverse=True)
        self._pattern = re.compile("|".join(_pattern(term) for term in longest_first) or r"(?!)")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(self._pairs.values())

    def terms_in(self, text: str) -> list[tuple[str, str]]:
        """Return the pairs whose term a text has, in the order of their first place."""
        found = dict.fromkeys(match[0] for match in self._pattern.finditer(text.casefold()))
        return [self._pairs[term] for term in found]


def _pattern(term: str) -> str:
    begins = r"(?<!\w)" if _is_word(term[0]) else ""
    ends = r"(?!\w)" if _is_word(term[-1]) else ""
    return f"{begins}{re.escape(term)}{ends}"


def _is_word(letter: str) -> bool:
    """Whether a letter belongs to a script that parts its words."""
    return letter.isalnum() and not 0x0E00 <= ord(letter) < 0x0F00 and ord(letter) < 0x2E80
