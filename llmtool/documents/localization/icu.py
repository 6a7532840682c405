"""ICU messages with plural and select forms: split them into syntax and the texts of the forms.

The text of each form is translated; the syntax around it is a break. Not parsed: choice formats and
XML-like tags. Source: the grammar of MessageFormat in ICU's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmtool.documents.types import Part, ProtectedSpan, make_break

_COMPLEX = re.compile(
    r"\{\s*[\w.-]+\s*,\s*(plural|select|selectordinal)\s*,\s*(?:offset\s*:\s*\d+)?"
)
_SIMPLE = re.compile(r"\{[^{}']*\}")
_SELECTOR = re.compile(r"\s*(?:=\d+|[\w.-]+)\s*\{")
_END = re.compile(r"\s*\}")
_TEXT = re.compile(r"(?:[^{}'#]|''|'(?![{}#|]))+")
_QUOTED = re.compile(r"'[{}#|](?:[^']|'')*(?:'|\Z)")
_MAX_DEPTH = 20


def is_icu(text: str) -> bool:
    """Return whether a message has plural or select forms."""
    return bool(_COMPLEX.search(text))


def split_icu(text: str) -> list[Part] | None:
    """Return the texts of a message, and its syntax as breaks; None if it is invalid.

    Example:
        >>> split_icu("{n, plural, other {# files}}")[2]
        ' files'
        >>> split_icu("{n, plural, one {# file}") is None
        True
    """
    try:
        tokens = list(_Parser(text).message(depth=0, in_plural=False))
    except ValueError:
        return None
    parts: list[Part] = []
    for kind, token in tokens:
        last = parts[-1] if parts else None
        if kind == "syntax":
            if isinstance(last, ProtectedSpan) and last.is_break:
                parts[-1] = make_break(last.source + token)
            else:
                parts.append(make_break(token))
        elif kind == "text" and isinstance(last, str):
            parts[-1] = last + token
        else:
            parts.append(token if kind == "text" else ProtectedSpan(token))
    return parts


def escape_icu(parts: Sequence[Part]) -> list[Part]:
    """Return the message of parts; an apostrophe before syntax would quote it, so it is doubled.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> escape_icu(["l'", ProtectedSpan("{name}")])
        ["l''", ProtectedSpan(source='{name}')]
    """
    escaped: list[Part] = []
    for part in parts:
        text = escaped[-1] if escaped else ""
        if isinstance(part, ProtectedSpan) and isinstance(text, str) and text.endswith("'"):
            n_quotes = len(text) - len(text.rstrip("'"))
            if n_quotes % 2 and part.source[:1] in "{}#|'":
                escaped[-1] = f"{text}'"
        escaped.append(part)
    return escaped


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def message(self, *, depth: int, in_plural: bool) -> Iterator[tuple[str, str]]:
        """Yield the tokens of a message up to its end: kind and text."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        while self._at < len(self._text):
            if found := self._take(_TEXT):
                yield "text", found
            elif found := self._take(_QUOTED):
                yield "span", found
            elif self._text[self._at] == "#":
                self._at += 1
                yield ("span" if in_plural else "text"), "#"
            elif argument := _COMPLEX.match(self._text, self._at):
                self._at = argument.end()
                yield "syntax", argument[0]
                is_plural = argument[1] != "select"
                yield from self._forms(depth, in_plural=is_plural or in_plural)
            elif found := self._take(_SIMPLE):
                yield "span", found
            elif self._text[self._at] == "}" and depth:
                return
            else:
                raise ValueError("invalid syntax")
        if depth:
            raise ValueError("unclosed")

    def _forms(self, depth: int, *, in_plural: bool) -> Iterator[tuple[str, str]]:
        n_forms = 0
        while selector := self._take(_SELECTOR):
            n_forms += 1
            yield "syntax", selector
            yield from self.message(depth=depth + 1, in_plural=in_plural)
            self._at += 1
            yield "syntax", "}"
        end = self._take(_END)
        if not end or not n_forms:
            raise ValueError("no forms")
        yield "syntax", end

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found[0]
