"""Split HTML into tokens that add up to the source, in linear time.

Source: WHATWG, HTML, section 13.2.5, "Tokenization", with positions, which no parser for Python
reports. But: the states that only matter for errors are omitted, and code of templates (PHP, ASP,
ERB, Jinja, Liquid, Handlebars) is a token of its own, also within tags and attribute values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Literal

import msgspec

Kind = Literal["start", "end", "text", "cdata", "entity", "comment", "declaration", "code"]

_MAX_UNCLOSED = 20  # tags that are read up to the end of the text
_RAW_TEXT = frozenset("script style textarea title xmp iframe noembed noframes".split())
_FOREIGN = frozenset({"svg", "math"})
_XHTML = re.compile(
    r"\ufeff?\s*(?:<\?xml\b|(?:<!doctype[^<>]*>\s*)?<html[^<>]*\sxmlns=)", re.IGNORECASE
)
_MARKUP = re.compile(r"[<&]|\{[{%#]")
_TAG_START = re.compile(r"</?[A-Za-z]")
_TAG_NAME = re.compile(r"</?([A-Za-z][^\s/>]*)")
_ENTITY = re.compile(r"&(?:#(?:\d{1,7}|[xX][0-9a-fA-F]{1,6});?|([A-Za-z][A-Za-z0-9]{1,31});?)")
_NAME = re.compile(r"(?:(?![{<])[^\s/>=]|\{(?![{%#])|<(?![?%]))+|=")
_EMPTY_COMMENT = re.compile("<!---?>")
_SPACE = re.compile(r"[\s/]*")
_EQUALS = re.compile(r"\s*=\s*")
_UNQUOTED = re.compile(r"[^\s>{<]+")
_QUOTED = {'"': re.compile(r'[^"{<]*'), "'": re.compile(r"[^'{<]*")}
# Delimiters of code, and the length up to which it is recognized: text may have braces.
_CODE = {
    "<?": ("?>", None),
    "<%": ("%>", None),
    "{{": ("}}", 1000),
    "{%": ("%}", 2000),
    "{#": ("#}", 5000),
}


class Attribute(msgspec.Struct, frozen=True):
    """An attribute with a value, from `start` to `end` of the source, without its quotes."""

    name: str
    start: int
    end: int
    quote: str  # empty if the value has none


class Token(msgspec.Struct, frozen=True):
    """A tag, text, entity, comment, declaration or code, from `start` to `end` of the source.

    In HTML, a CDATA section is a comment that ends at its first `>`, except in SVG and MathML.
    """

    kind: Kind
    start: int
    end: int
    tag: str = ""
    attributes: tuple[Attribute, ...] = ()
    is_self_closing: bool = False  # <tag/>


def tokenize(source: str) -> Iterator[Token]:
    """Yield the tokens of an HTML text.

    Example:
        >>> [(token.kind, token.tag) for token in tokenize("<p>One &amp; <!-- two")]
        [('start', 'p'), ('text', ''), ('entity', ''), ('text', ''), ('comment', '')]
    """
    return _Scanner(source).tokens()


def is_xhtml(source: str) -> bool:
    """Whether a text is XHTML, in which `<p/>` is an empty element."""
    return _XHTML.match(source) is not None


def split_code(value: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of an attribute value, and whether each is code of a template.

    Example:
        >>> list(split_code("Photo of {{ name }}"))
        [('Photo of ', False), ('{{ name }}', True)]
    """
    scanner, at = _Scanner(value), 0
    for found in _MARKUP.finditer(value):
        end = scanner.code_end(found.start()) if found.start() >= at else None
        if end is not None:
            if found.start() > at:
                yield value[at : found.start()], False
            yield value[found.start() : end], True
            at = end
    if at < len(value):
        yield value[at:], False


class _Scanner:
    def __init__(self, source: str) -> None:
        self.source = source
        self.is_xhtml = is_xhtml(source)
        self._n_unclosed = 0  # tags with a quotation mark without another one
        self._n_foreign = 0  # open elements of SVG and MathML
        self._next: dict[str, int] = {}  # the next position of a delimiter, -1 if there is none

    def tokens(self) -> Iterator[Token]:
        source, at, start = self.source, 0, 0  # text begins at `start`
        while found := _MARKUP.search(source, at):
            at = found.start()
            token = self._markup(at)
            if token is None:
                at += 1
                continue
            if start < at:
                yield Token("text", start, at)
            yield token
            start = at = token.end
            if token.tag in _FOREIGN and not token.is_self_closing:
                change = 1 if token.kind == "start" else -1
                self._n_foreign = max(0, self._n_foreign + change)
            is_empty = token.is_self_closing and self.is_xhtml
            if token.kind == "start" and token.tag in _RAW_TEXT and not is_empty:
                if (end := self._raw_end(token)) is not None and end > at:
                    yield from self._raw_text(token.tag, at, end)
                    start = at = end
        if start < len(source):
            yield Token("text", start, len(source))

    def code_end(self, at: int) -> int | None:
        """Return the end of the code of a template that starts here, None if none does."""
        start = self.source[at : at + 2]
        if start not in _CODE or self.source.startswith("<?xml", at):
            return None
        delimiter, limit = _CODE[start]
        end = self._find(delimiter, at + 2)
        if end < 0 or (limit is not None and end - at > limit):
            is_php = start == "<?" and end < 0 and self.source.startswith("<?php", at)
            return len(self.source) if is_php else None
        return end + len(delimiter)

    def _find(self, text: str, at: int) -> int:
        """Like `source.find`, for positions that increase; all calls together are linear."""
        found = self._next.get(text, 0)
        if 0 <= found < at or text not in self._next:
            found = self._next[text] = self.source.find(text, at)
        return found

    def _markup(self, at: int) -> Token | None:
        source = self.source
        if source[at] == "&":
            found = _ENTITY.match(source, at)
            return Token("entity", at, found.end()) if found and _is_entity(found) else None
        if (end := self.code_end(at)) is not None:
            kind: Kind = "comment" if source.startswith("{#", at) else "code"
            return Token(kind, at, end)
        if source[at] != "<":
            return None
        if _TAG_START.match(source, at):
            return self._tag(at)
        if source.startswith("<!--", at):
            is_empty = _EMPTY_COMMENT.match(source, at)
            end = is_empty.end() if is_empty else self._after("-->", at + 4)
            return Token("comment", at, end)
        if source.startswith("<![CDATA[", at):
            is_section = self.is_xhtml or self._n_foreign > 0
            end = self._after("]]>" if is_section else ">", at)
            is_text = is_section and source.startswith("]]>", end - 3)
            return Token("cdata" if is_text else "comment", at, end)
        if source[at + 1 : at + 2] in ("!", "?", "/") and at + 2 < len(source):
            return Token("declaration", at, self._after(">", at))
        return None

    def _after(self, delimiter: str, at: int) -> int:
        found = self._find(delimiter, at)
        return len(self.source) if found < 0 else found + len(delimiter)

    def _tag(self, start: int) -> Token | None:
        """Return a tag, None if it has no end. A quotation mark without another one is ignored."""
        source = self.source
        close = self._find(">", start)
        if close < 0:  # before its name is read, which may be as long as the text
            return None
        name = _TAG_NAME.match(source, start)
        assert name is not None
        at = name.end()
        if self._n_unclosed > _MAX_UNCLOSED:
            return self._unclosed_tag(start, name, close)
        attributes: list[Attribute] = []
        is_end = source.startswith("</", start)
        while True:
            space = _SPACE.match(source, at)
            assert space is not None
            at = space.end()
            if at >= len(source):
                self._n_unclosed += 1
                return self._unclosed_tag(start, name, close)
            if source[at] == ">":
                break
            if (code := self.code_end(at)) is not None:
                at = code
                continue
            found = _NAME.match(source, at)
            if found is None:
                at += 1
                continue
            at = found.end()
            if equals := _EQUALS.match(source, at):
                attribute = self._value(found[0].lower(), equals.end())
                attributes.append(attribute)
                at = attribute.end + len(attribute.quote)
        return Token(
            "end" if is_end else "start",
            start,
            at + 1,
            name[1].lower(),
            tuple(attributes),
            is_self_closing=source[at - 1] == "/",
        )

    def _unclosed_tag(self, start: int, name: re.Match[str], close: int) -> Token:
        kind: Kind = "end" if self.source.startswith("</", start) else "start"
        return Token(kind, start, close + 1, name[1].lower())

    def _value(self, name: str, start: int) -> Attribute:
        """Return an attribute whose value, or its quote, starts here."""
        source = self.source
        quote = source[start : start + 1]
        pattern = _QUOTED.get(quote, _UNQUOTED)
        quote = quote if quote in _QUOTED else ""
        start += len(quote)
        at = start
        while at < len(source):
            if found := pattern.match(source, at):
                at = found.end()
            if at >= len(source) or source[at] not in "{<":
                break
            at = self.code_end(at) or at + 1
        return Attribute(name, start, min(at, len(source)), quote)

    def _raw_end(self, token: Token) -> int | None:
        """Return where the text of a script, style or title ends, None if it has no end tag."""
        end = re.compile(rf"</{re.escape(token.tag)}(?=[\s/>])", re.IGNORECASE)
        key = f"</{token.tag}"
        if self._next.get(key) == -1:
            return None
        found = end.search(self.source, token.end)
        if found is None:
            self._next[key] = -1
            return len(self.source) if token.tag in ("script", "style") else None
        return found.start()

    def _raw_text(self, tag: str, start: int, end: int) -> Iterator[Token]:
        """Yield the text of a raw element; that of a title has entities and code of templates."""
        if tag == "title":
            for found in _MARKUP.finditer(self.source, start, end):
                at = found.start()
                is_markup = found[0] == "&" or (at >= start and self.code_end(at) is not None)
                token = self._markup(at) if at >= start and is_markup else None
                if token is None or token.end > end:
                    continue
                if start < at:
                    yield Token("text", start, at)
                yield token
                start = token.end
        if start < end:
            yield Token("text", start, end)


def _is_entity(found: re.Match[str]) -> bool:
    """Whether a reference is to a character; only some names do without a semicolon."""
    name = found[1]
    return name is None or name + (";" if found[0].endswith(";") else "") in html5
