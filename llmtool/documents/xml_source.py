"""Locate the elements and text of XML; the only importer of Expat, which checks that it is valid.

Expat comes with Python. It never fetches an external entity, and limits the expansion of others.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from typing import Literal

import msgspec

from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import OutsideText, Part, ProtectedSpan, Segment
from llmtool.errors import InputError

_TOKEN = re.compile(
    r"""
    (?P<comment><!--.*?-->)
  | (?P<cdata><!\[CDATA\[.*?\]\]>)
  | (?P<instruction><\?.*?\?>)
  | (?P<doctype><!DOCTYPE(?:[^\["'>]|"[^"]*"|'[^']*')*
      (?:\[(?:<!--(?:(?!-->).)*-->|<\?(?:(?!\?>).)*\?>|"[^"]*"|'[^']*'
        |(?!<!--|<\?)[^\]"'])*\]\s*)?>)
  | (?P<end></[^<>]*>)
  | (?P<start><(?P<tag>[^\s<>"'/]+)(?:[^<>"'/]|/(?!>)|"[^"]*"|'[^']*')*(?P<empty>/?)>)
  | (?P<text>[^<]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s=<>"'/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_REFERENCE = re.compile(r"(&(?:#\d+|#[xX][0-9a-fA-F]+|[^\s&;#]+);)")
_PREDEFINED = frozenset(("&amp;", "&lt;", "&gt;", "&quot;", "&apos;"))
_ENCODING = re.compile(r"""\ufeff?<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.-]+)""")
_INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_ENTITY_CHARACTERS = 1000
_CDATA = ("<![CDATA[", "]]>")
_CDATA_LIMIT = re.compile(r"<!\[CDATA\[|\]\]>")
_MAX_DEPTH = 400
_REASONS = {
    "start": "tag",
    "end": "tag",
    "comment": "comment",
    "instruction": "declaration",
    "doctype": "declaration",
}

Kind = Literal["start", "end", "text", "cdata", "comment", "instruction", "doctype"]


class Token(msgspec.Struct, frozen=True, gc=False):
    """A tag, text or comment, from `start` to `end` of the source; `tag` is that of a start tag."""

    kind: Kind
    start: int
    end: int
    tag: str = ""


class Element(msgspec.Struct, kw_only=True, eq=False):
    """An element: the indexes of its first and last token, which are equal in `<a/>`."""

    tag: str
    attributes: dict[str, str]
    first: int
    last: int
    parent: Element | None

    @property
    def name(self) -> str:
        """The tag without its namespace prefix."""
        return self.tag.rpartition(":")[2]

    def is_in(self, *names: str) -> bool:
        """Whether an element around this one has one of these names."""
        return self.parent is not None and self.parent.closest(*names) is not None

    def closest(self, *names: str) -> Element | None:
        """Return this element, or else the innermost one around it, with one of these names."""
        element: Element | None = self
        while element is not None and element.name not in names:
            element = element.parent
        return element

    def inherited(self, attribute: str) -> str | None:
        """Return an attribute of the element, or of the nearest element around it that has it."""
        element: Element | None = self
        while element is not None:
            if attribute in element.attributes:
                return element.attributes[attribute]
            element = element.parent
        return None


class Xml:
    """The tokens of an XML text, which add up to the source, and its elements in source order.

    Raises:
        InputError: the text is not well-formed, or declares entities that contain others, are in
            other files or are very long.

    Example:
        >>> xml = Xml("<a><b>Fish &amp; <i>chips</i></b></a>")
        >>> xml.parts(xml.find("b")[0])[0]
        'Fish & '
    """

    def __init__(self, source: str) -> None:
        _check(source)
        self.source = source
        self.tokens: list[Token] = []
        self.elements: list[Element] = []
        parent: Element | None = None
        at = depth = 0
        for index, found in enumerate(_TOKEN.finditer(source)):
            kind, tag = found.lastgroup, ""
            if found["start"]:
                kind, tag = "start", sys.intern(found["tag"])
                element = Element(
                    tag=tag,
                    attributes=_attributes(found["start"]),
                    first=index,
                    last=index,
                    parent=parent,
                )
                self.elements.append(element)
                if not found["empty"]:
                    parent, depth = element, depth + 1
                if depth > _MAX_DEPTH:
                    raise InputError(f"the XML is nested more than {_MAX_DEPTH} levels deep")
            elif kind == "end" and parent is not None:
                parent.last = index
                parent, depth = parent.parent, depth - 1
            if found.start() != at:
                break
            at = found.end()
            self.tokens.append(Token(kind, found.start(), at, tag))  # type: ignore[arg-type]
        if at != len(source):
            raise InputError(f"line {_line(source, at)}: cannot read the XML")

    def find(self, *names: str) -> list[Element]:
        """Return the elements with one of these names, without a namespace prefix."""
        return [element for element in self.elements if element.name in names]

    def children(self, parent: Element, *names: str) -> list[Element]:
        """Return the elements directly in another one, of these names."""
        return [
            element
            for element in self.descendants(parent)
            if element.parent is parent and element.name in names
        ]

    def descendants(self, parent: Element) -> list[Element]:
        """Return the elements in another one."""
        # Elements are in the order of their first token.
        low, high = 0, len(self.elements)
        while low < high:
            middle = (low + high) // 2
            if self.elements[middle].first <= parent.first:
                low = middle + 1
            else:
                high = middle
        found = []
        while low < len(self.elements) and self.elements[low].first < parent.last:
            found.append(self.elements[low])
            low += 1
        return found

    def span(self, element: Element) -> tuple[int, int]:
        """Return the start and end of an element, with its tags."""
        return self.tokens[element.first].start, self.tokens[element.last].end

    def content(self, element: Element) -> tuple[int, int]:
        """Return the start and end of an element without its tags."""
        if element.first == element.last:
            end = self.tokens[element.first].end
            return end, end
        return self.tokens[element.first].end, self.tokens[element.last].start

    def text(self, element: Element) -> str:
        """Return the text in an element, without tags and comments."""
        text = ""
        for token in self.tokens[element.first : element.last]:
            if token.kind == "text":
                text += unescape_xml(self.source[token.start : token.end])
            elif token.kind == "cdata":
                text += self.source[token.start + len(_CDATA[0]) : token.end - len(_CDATA[1])]
        return text

    def tags(self, element: Element) -> list[str]:
        """Return the tags in an element, sorted."""
        return sorted(
            self.source[token.start : token.end]
            for token in self.tokens[element.first + 1 : element.last]
            if token.kind in ("start", "end")
        )

    def parts(
        self,
        element: Element,
        *,
        opaque: Callable[[Element], bool] = lambda _: False,
        split: Callable[[str], Sequence[Part]] = split_parts,
    ) -> tuple[Part, ...]:
        """Return the text in an element, unescaped, and its tags as protected spans.

        `opaque` elements are protected as a whole. `split` finds the protected spans of a text.
        """
        within = {each.first: each for each in self.descendants(element)}
        parts: list[Part] = []
        index = element.first + 1
        while index < element.last:
            token = self.tokens[index]
            source = self.source[token.start : token.end]
            if token.kind == "text":
                parts += _text_parts(source, split)
            elif token.kind == "cdata":
                text = source[len(_CDATA[0]) : -len(_CDATA[1])]
                opens, closes = (ProtectedSpan(limit, is_fixed=True) for limit in _CDATA)
                parts += [opens, *split(text), closes]
            elif token.kind == "start" and opaque(within[index]):
                index = within[index].last
                parts.append(ProtectedSpan(self.source[token.start : self.tokens[index].end]))
            else:
                parts.append(ProtectedSpan(source))
            index += 1
        return tuple(part for part in parts if part != "")

    def outside(
        self, segments: Sequence[Segment], reason: Callable[[Token, Element | None], OutsideText]
    ) -> tuple[OutsideText, ...]:
        """Account for the source outside of the segments; `reason` is called for its text."""
        found: list[OutsideText] = []
        ends = iter([*segments, Segment(start=len(self.source), end=len(self.source), parts=())])
        segment = next(ends)
        for token, element in self._with_elements():
            while segment.end <= token.start < len(self.source):
                segment = next(ends)
            if token.start < segment.end and segment.start < token.end:
                if token.start < segment.start:
                    found.append(OutsideText(token.start, segment.start, "tag"))
                if segment.end < token.end:
                    found.append(OutsideText(segment.end, token.end, "tag"))
                continue
            if token.kind in _REASONS:
                text = OutsideText(token.start, token.end, _REASONS[token.kind])
            elif any(map(str.isalpha, self.source[token.start : token.end])):
                text = reason(token, element)
            else:
                continue
            last = found[-1] if found else None
            if last is not None and (last.end, last.reason, last.is_language) == (
                text.start,
                text.reason,
                text.is_language,
            ):
                found[-1] = OutsideText(last.start, text.end, text.reason, text.is_language)
            else:
                found.append(text)
        return tuple(found)

    def _with_elements(self) -> Iterator[tuple[Token, Element | None]]:
        """Yield the tokens, each with the element around it."""
        upcoming = iter(self.elements)
        following = next(upcoming, None)
        element: Element | None = None
        for index, token in enumerate(self.tokens):
            if following is not None and following.first == index:
                element, following = following, next(upcoming, None)
            yield token, element
            if element is not None and element.last == index:
                element = element.parent


def unescape_xml(text: str) -> str:
    """Replace character references and predefined entities; others remain."""
    return _REFERENCE.sub(lambda found: _character(found[0]) or found[0], text)


def escape_xml(text: str, *, quotes: bool = False) -> str:
    """Escape a text for XML, without characters that XML does not allow.

    Example:
        >>> escape_xml("a < b & c\\x00")
        'a &lt; b &amp; c'
    """
    text = _INVALID.sub("", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&apos;") if quotes else text


def join_xml(
    parts: Sequence[Part], *, encode: Callable[[str], str] = str, quotes: bool = False
) -> str:
    """Return parts as XML: texts are escaped, except in CDATA sections; spans are not.

    `encode` adds the escapes of the format itself.
    """
    text = ""
    is_cdata = False
    for part in parts:
        if isinstance(part, ProtectedSpan):
            text += part.source
            if limits := _CDATA_LIMIT.findall(part.source):
                is_cdata = limits[-1] == _CDATA[0]
        elif is_cdata:
            text += _INVALID.sub("", encode(part)).replace("]]>", "]]]]><![CDATA[>")
        else:
            text += escape_xml(encode(part), quotes=quotes)
    return text


def find_cdata_fault(parts: Sequence[Part]) -> str | None:
    """Return a fault if the limits of CDATA sections are in another order."""
    markup = "".join(part.source for part in parts if isinstance(part, ProtectedSpan))
    limits = _CDATA_LIMIT.findall(markup)
    is_paired = all(limit == _CDATA[i % 2] for i, limit in enumerate(limits))
    return None if is_paired and len(limits) % 2 == 0 else "has tags that no longer match"


def set_attribute(tag: str, name: str, value: str | None) -> str:
    """Return a start tag with an attribute set, or removed if the value is None.

    Example:
        >>> set_attribute('<target state="new">', "state", "translated")
        '<target state="translated">'
        >>> set_attribute("<segment/>", "state", "translated")
        '<segment state="translated"/>'
    """
    for found in _ATTRIBUTE.finditer(tag):
        if found[1] == name:
            new = "" if value is None else f'{name}="{escape_xml(value, quotes=True)}"'
            before = tag[: found.start()]
            return f"{before if value is not None else before.rstrip()}{new}{tag[found.end() :]}"
    if value is None:
        return tag
    found_end = re.search(r"\s*/?>\Z", tag)
    assert found_end is not None
    at = found_end.start()
    return f'{tag[:at]} {name}="{escape_xml(value, quotes=True)}"{tag[at:]}'


def start_tag(tag: str) -> str:
    """Return a start tag for that of an element, which may be empty.

    Example:
        >>> start_tag('<target state="new"/>')
        '<target state="new">'
    """
    return f"{tag[:-2].rstrip()}>" if tag.endswith("/>") else tag


def with_attribute(xml: Xml, elements: Sequence[Element], name: str, value: str) -> str:
    """Return the source with an attribute of some elements, in source order, set to a value."""
    text, at = "", 0
    for element in elements:
        token = xml.tokens[element.first]
        tag = set_attribute(xml.source[token.start : token.end], name, value)
        text += xml.source[at : token.start] + tag
        at = token.end
    return text + xml.source[at:]


def _text_parts(source: str, split: Callable[[str], Sequence[Part]]) -> Iterator[Part]:
    text = ""
    for piece in _REFERENCE.split(source):
        character = _character(piece) if _REFERENCE.fullmatch(piece) else piece
        if character is not None:
            text += character
            continue
        yield from _escaped_spans(split(text))
        yield ProtectedSpan(piece)
        text = ""
    yield from _escaped_spans(split(text))


def _escaped_spans(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts of an unescaped text, whose protected spans are exact source again."""
    return map(escape_span, parts)


def escape_span(part: Part) -> Part:
    """Return a part of an unescaped text, as exact source if it is a protected span.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> escape_span(ProtectedSpan("<b>")).source, escape_span("<")
        ('&lt;b&gt;', '<')
    """
    if isinstance(part, str):
        return part
    return msgspec.structs.replace(part, source=escape_xml(part.source))


def _character(reference: str) -> str | None:
    """Return the character of a reference, None for an entity that the document declares."""
    if reference in _PREDEFINED or reference.startswith("&#"):
        return unescape(reference)
    return None


def _attributes(tag: str) -> dict[str, str]:
    return {
        sys.intern(name): unescape_xml(double or single)
        for name, double, single in _ATTRIBUTE.findall(tag)
    }


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1


def _check(source: str) -> None:
    """Check that a text is well-formed XML with harmless entities."""
    from xml.parsers import expat

    declared = _ENCODING.match(source)
    if declared and declared[1].lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise InputError(
            f"line 1: the XML declares the encoding {declared[1]}, but a translation is written in "
            "UTF-8; convert the file to UTF-8 and declare it"
        )

    def check_entity(
        name: str,
        is_parameter: bool,
        value: str | None,
        base: str | None,
        system_id: str | None,
        *rest: str | None,
    ) -> None:
        if is_parameter or value is None or "&" in value or len(value) > _MAX_ENTITY_CHARACTERS:
            raise InputError(
                f"line {parser.CurrentLineNumber}: the entity {name} contains others, is in "
                "another file or is very long; replace it by its text"
            )

    parser = expat.ParserCreate("utf-8")
    parser.EntityDeclHandler = check_entity
    try:
        parser.Parse(source.removeprefix("\ufeff").encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as exc:
        raise InputError(
            f"line {exc.lineno}, column {exc.offset + 1}: not well-formed XML: "
            f"{expat.ErrorString(exc.code)}"
        ) from exc
