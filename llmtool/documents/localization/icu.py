"""ICU messages with plural, select and choice forms: split them into syntax and texts of the forms.

The text of each form is translated; the syntax around it is a break. Plural forms that only the
target language has are added. Not parsed: XML-like tags. Source: the grammar of MessageFormat in
ICU's documentation, and that of ChoiceFormat in Java's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from llmtool.documents.localization.plural_forms import categories_of
from llmtool.documents.types import Part, ProtectedSpan, make_break

_COMPLEX = re.compile(
    r"\{\s*[\w.-]+\s*,\s*(plural|select|selectordinal|choice)\s*,\s*(?:offset\s*:\s*\d+)?"
)
_SIMPLE = re.compile(r"\{[^{}']*\}")
_SELECTOR = re.compile(r"\s*(?:=\d+|[\w.-]+)\s*\{")
_LIMIT = re.compile(r"\|?\s*-?(?:\d+(?:\.\d+)?|∞)\s*[#<≤]")  # 0# and |1< in a choice
_END = re.compile(r"\s*\}")
_TEXT = re.compile(r"(?:[^{}'#]|''|'(?![{}#|]))+")
_TEXT_IN_CHOICE = re.compile(r"(?:[^{}'#|]|''|'(?![{}#|]))+")
_QUOTED = re.compile(r"'[{}#|](?:[^']|'')*(?:'|\Z)")
_MAX_DEPTH = 20
_LARGE = "1000000"  # the number of forms that differ little from `other`
_Tokens = list[tuple[str, str]]  # kind and text


def is_icu(text: str) -> bool:
    """Return whether a message has plural, select or choice forms."""
    return bool(_COMPLEX.search(text))


def split_icu(text: str, to: str | None = None) -> list[Part] | None:
    """Return the texts of a message, and its syntax as breaks; None if it is invalid.

    The plural forms that the language `to` has and the message lacks are copies of `other`. So is
    `one` without a number, if it is also for others, such as 21. Breaks have notes with examples.

    Example:
        >>> split_icu("{n, plural, other {# files}}")[2]
        ' files'
        >>> split_icu("{n, plural, one {# file}") is None
        True
        >>> from llmtool.documents.types import join_parts
        >>> print(join_parts(split_icu("{n, plural, one {1 file} other {# files}}", "pl")))
        {n, plural, one {1 file} few {# files} many {# files} other {# files}}
    """
    try:
        tokens = list(_Parser(text, categories_of(to) if to else {}).message(depth=0))
    except ValueError:
        return None
    parts: list[Part] = []
    for kind, token in tokens:
        last = parts[-1] if parts else None
        if kind == "syntax":
            if isinstance(last, ProtectedSpan) and last.is_break:
                parts[-1] = make_break(last.source + token, last.note)
            else:
                parts.append(make_break(token))
        elif kind == "note":
            assert isinstance(last, ProtectedSpan)  # the start of a form
            parts[-1] = make_break(last.source, token)
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


def find_icu_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    """Return a fault if the text of a translation changes the syntax of an ICU message, or None.

    Example:
        >>> source = split_icu("{n, choice, 0#no files|0<files}")
        >>> find_icu_fault(source, [*source[:-2], "files or | folders", source[-1]])
        'changes the syntax of the ICU message'
    """
    syntax = _syntax_of(source)
    is_same = syntax is None or syntax == _syntax_of(translation)
    return None if is_same else "changes the syntax of the ICU message"


def _syntax_of(parts: Sequence[Part]) -> str | None:
    """Return the syntax around the texts of a message, None if it is not a whole ICU message."""
    message = "".join(
        part if isinstance(part, str) else part.source if part.is_break else "{x}"
        for part in escape_icu(parts)
    )
    found = split_icu(message) if is_icu(message) else None
    if found is None:
        return None
    return "".join(
        each.source for each in found if isinstance(each, ProtectedSpan) and each.is_break
    )


class _Parser:
    def __init__(self, text: str, categories: Mapping[str, tuple[str, bool]]) -> None:
        self._text, self._at = text, 0
        self._categories = categories  # of the target language, as `categories_of` returns them

    def message(
        self, *, depth: int, in_plural: bool = False, in_choice: bool = False
    ) -> Iterator[tuple[str, str]]:
        """Yield the tokens of a message up to its end: kind and text."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        while self._at < len(self._text):
            if found := self._take(_TEXT_IN_CHOICE if in_choice else _TEXT):
                yield "text", found
            elif found := self._take(_QUOTED):
                yield "span", found
            elif self._text[self._at] == "#":
                self._at += 1
                yield ("span" if in_plural else "text"), "#"
            elif argument := _COMPLEX.match(self._text, self._at):
                self._at = argument.end()
                yield "syntax", argument[0]
                kind = argument[1]
                if kind == "choice":
                    yield from self._choice(depth)
                    continue
                forms, end = self._forms(depth, in_plural=kind != "select" or in_plural)
                if kind == "plural" and not in_plural:  # all forms of nested ones would be many
                    forms = self._complete(forms)
                for selector, tokens in forms:
                    yield "syntax", selector
                    number = self._categories.get(_name(selector)) if kind == "plural" else None
                    if number:
                        yield "note", f"plural form for the number {number[0]}"
                    yield from tokens
                    yield "syntax", "}"
                yield "syntax", end
            elif found := self._take(_SIMPLE):
                yield "span", found
            elif depth and self._text[self._at] in ("|}" if in_choice else "}"):
                return
            else:
                raise ValueError("invalid syntax")
        if depth:
            raise ValueError("unclosed")

    def _choice(self, depth: int) -> Iterator[tuple[str, str]]:
        """Yield the tokens of a choice, whose forms have no brackets, up to its end."""
        if not _LIMIT.match(self._text, self._at):
            raise ValueError("no forms")
        while limit := self._take(_LIMIT):
            yield "syntax", limit
            yield from self.message(depth=depth + 1, in_choice=True)
        if not (end := self._take(_END)):
            raise ValueError("unclosed")
        yield "syntax", end

    def _forms(self, depth: int, *, in_plural: bool) -> tuple[list[tuple[str, _Tokens]], str]:
        """Return the forms of an argument, each with its selector, and the syntax after them."""
        forms = []
        while selector := self._take(_SELECTOR):
            forms.append((selector, list(self.message(depth=depth + 1, in_plural=in_plural))))
            self._at += 1
        end = self._take(_END)
        if not end or not forms:
            raise ValueError("no forms")
        return forms, end

    def _complete(self, forms: list[tuple[str, _Tokens]]) -> list[tuple[str, _Tokens]]:
        """Add the plural forms of the target language that are missing."""
        names = [_name(selector) for selector, _ in forms]
        if not self._categories or "other" not in names:
            return forms
        at = names.index("other")
        selector, other = forms[at]
        spaced = selector if selector[0].isspace() else f" {selector}"
        added = [
            (spaced.replace("other", name), other)
            for name, (number, is_one) in self._categories.items()
            if name not in names and number != _LARGE and not (is_one and "=1" in names)
        ]
        is_one = self._categories.get("one", ("", True))[1]
        numbers = {token for token in other if token[0] == "span"}
        complete = [
            (each, other if _name(each) == "one" and not is_one and numbers - set(form) else form)
            for each, form in forms
        ]
        if added and at == 0:
            added[0] = added[0][0].lstrip(), other
            complete[0] = spaced, other
        return [*complete[:at], *added, *complete[at:]]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found[0]


def _name(selector: str) -> str:
    return selector.strip("{ \n\r\t")
