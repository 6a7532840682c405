"""Android string resources: strings, string arrays and plurals (`res/values/strings.xml`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmtool.documents.localization.values import is_message, join_surrogates
from llmtool.documents.protected_spans import find_nesting_fault, split_parts
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    is_blank,
    join_parts,
)
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    find_cdata_fault,
    join_xml,
)
from llmtool.errors import InputError

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CHARACTERS = {"n": "\n", "t": "\t"}
_SPACE = re.compile(r"[ \t\r\n]+")
_REFERENCE = re.compile(r"\s*[@?](?:\w+:)?(?:\w+/)?[\w.]+\s*")
# Quotation marks keep the white space between them, and do not appear in the message.
_TOKEN = re.compile(r'(\\(?:u[0-9a-fA-F]{4}|.)|"|[ \t\r\n]+)', re.DOTALL)


class AndroidStrings(Document):
    """The messages of a resource file, which a translation replaces.

    Raises:
        InputError: the file is not well-formed XML, or has no `<resources>`.

    Example:
        >>> source = '<resources><string name="a">It\\\\'s <b>%1$s</b></string></resources>'
        >>> AndroidStrings(source).segments[0].parts[0]
        "It's "
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._xml = Xml(source)
        if self._xml.elements[0].name != "resources":
            raise InputError("line 1: not an Android resource file; it has no <resources>")
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, self._reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text = join_xml(parts, encode=_escape)
        is_start = isinstance(parts[0], str)
        return f"\\{text}" if is_start and text[:1] in ("@", "?") else text

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        if is_blank(parts):
            return "is empty"
        return find_nesting_fault(segment.parts, parts) or find_cdata_fault(parts)

    def compare(self, output: str) -> str | None:
        xml = Xml(output)
        before, after = _elements(self._xml), _elements(xml)
        if before != after:
            return "an element outside of the messages differs"
        for one, other in zip(_values(self._xml), _values(xml), strict=True):
            is_text = _is_translatable(one) and _is_message(self._xml, one)
            if not is_text and self._xml.text(one) != xml.text(other):
                return f"the value of {_context(one)[0]} differs"
            if self._xml.tags(one) != xml.tags(other):
                return f"the tags in {_context(one)[0]} differ"
        return None

    def _segments(self) -> Iterator[Segment]:
        for element in _values(self._xml):
            parts = self._xml.parts(element, opaque=_is_opaque, split=_split)
            start, end = self._xml.content(element)
            if _is_translatable(element) and _is_message(self._xml, element):
                yield Segment(start=start, end=end, parts=parts, context=_context(element))

    def _reason(self, token: Token, element: Element | None) -> OutsideText:
        value = element.closest("string", "item") if element else None
        if value is None:
            return OutsideText(token.start, token.end, "value of another type")
        if not _is_translatable(value):
            return OutsideText(token.start, token.end, 'translatable="false"')
        if value.name == "item" and not value.is_in("string-array", "plurals"):
            return OutsideText(token.start, token.end, "value of another type")
        return OutsideText(token.start, token.end, "identifier")


def _values(xml: Xml) -> list[Element]:
    return [
        element
        for element in xml.elements
        if element.name == "string"
        or (element.name == "item" and element.is_in("string-array", "plurals"))
    ]


def _is_translatable(element: Element) -> bool:
    return element.inherited("translatable") != "false"


def _is_message(xml: Xml, element: Element) -> bool:
    text = join_parts(_split(xml.text(element)))
    parts = xml.parts(element, opaque=_is_opaque, split=_split)
    return has_letters(parts) and not _REFERENCE.fullmatch(text) and is_message(text)


def _is_opaque(element: Element) -> bool:
    """Whether an element is protected as a whole: `<xliff:g>` marks a placeholder."""
    return element.tag == "xliff:g" or element.attributes.get("translatable") == "false"


def _context(element: Element) -> tuple[str, ...]:
    named = element if element.name == "string" or element.parent is None else element.parent
    quantity = element.attributes.get("quantity")
    name = named.attributes.get("name", "")
    return (name, quantity) if quantity else (name,)


def _split(text: str) -> list[Part]:
    """Split the text of a resource, with its escapes, into text and protected spans."""
    parts: list[Part] = []
    plain = ""
    is_quoted = False
    for i, piece in enumerate(_TOKEN.split(text)):
        if i % 2 == 0:
            plain += piece
        elif piece == '"':
            parts += [*split_parts(join_surrogates(plain)), ProtectedSpan('"', is_fixed=True)]
            plain, is_quoted = "", not is_quoted
        elif piece[0] != "\\":
            plain += piece if is_quoted else " "
        else:
            found = _ESCAPE.fullmatch(piece)
            assert found is not None
            code, character = found.groups()
            plain += chr(int(code, 16)) if code else _CHARACTERS.get(character, character)
    return [*parts, *split_parts(join_surrogates(plain))]


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t")


def _elements(xml: Xml) -> list[tuple[object, ...]]:
    """Return the elements with their attributes, without those in messages."""
    inner = {id(each) for value in _values(xml) for each in xml.descendants(value)}
    return [
        (element.tag, *element.attributes.items())
        for element in xml.elements
        if id(element) not in inner
    ]
