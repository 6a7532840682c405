"""Glossaries: the terms that occur in a segment are added to its prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmtool.errors import InputError, UsageError
from llmtool.text.languages import find_code, find_language

_HEADERS = ("term", "source", "word")


class Glossary:
    """Terms and their translations.

    Terms match regardless of case, and as whole words in scripts that separate words.

    Example:
        >>> Glossary([("pull request", "Pull-Request"), ("branch", "Zweig")]).terms_in("A branch.")
        [('branch', 'Zweig')]
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs: dict[str, tuple[str, str]] = {}
        for term, translation in pairs:
            term, translation = term.strip(), translation.strip()
            if not term or not translation:
                raise UsageError(
                    f"glossary entry {term!r} = {translation!r}: both must be non-empty"
                )
            self._pairs.setdefault(term.casefold(), (term, translation))
        longest_first = sorted(self._pairs, key=len, reverse=True)
        self._pattern = re.compile("|".join(_pattern(term) for term in longest_first) or r"(?!)")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(self._pairs.values())

    def terms_in(self, text: str) -> list[tuple[str, str]]:
        """Return the pairs whose terms occur in a text, in order of first occurrence."""
        found = dict.fromkeys(match[0] for match in self._pattern.finditer(text.casefold()))
        return [self._pairs[term] for term in found]


def read_glossary(path: str, to: str) -> list[tuple[str, str]]:
    """Read terms and their translations into a language from a CSV file.

    They are in the first two columns, unless another column is named after the language. The first
    row is a header if it names a language, or if its first column is one of `_HEADERS`.

    Raises:
        UsageError: the language is unknown.
        InputError: the file cannot be read, has fewer than two columns, or a row is incomplete.
    """
    from llmtool.batch.readers import Reader

    reader = Reader("csv", [path])
    reader.wait_for_header()
    columns, header = reader.columns, reader.header
    if len(columns) < 2:
        raise InputError(f"{path} has one column; a glossary needs two, a term and its translation")
    language = find_language(to)
    names = {language.code.lower(), language.base, language.name.lower()}
    named = [column for column in columns if column.strip().lower() in names]
    target = named[0] if named else columns[1]
    term = next(column for column in columns if column != target)
    has_header = named or columns[0].strip().lower() in _HEADERS or find_code(columns[0])
    first = {column: name.strip() for column, name in zip(columns, header, strict=True)}
    pairs = [] if has_header else [(first[term], first[target])]
    for record in reader.wait_for_records():
        if record.error is not None:
            raise record.error
        pair = str(record.fields[term] or "").strip(), str(record.fields[target] or "").strip()
        if all(pair):
            pairs.append(pair)
        elif any(pair) and not named:
            raise InputError(f"{record.place}: the term or its translation is missing")
    return pairs


def _pattern(term: str) -> str:
    begins = r"(?<!\w)" if _is_word(term[0]) else ""
    ends = r"(?!\w)" if _is_word(term[-1]) else ""
    return f"{begins}{re.escape(term)}{ends}"


def _is_word(letter: str) -> bool:
    """Return whether a letter belongs to a script that separates words."""
    return letter.isalnum() and not 0x0E00 <= ord(letter) < 0x0F00 and ord(letter) < 0x2E80
