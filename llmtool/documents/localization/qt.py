"""Qt Linguist files (`.ts`).

The segments are unfinished messages without a translation or with a suggestion. A translation also
removes `type="unfinished"`. Numerus forms are those of the file, which `lupdate -target-language`
makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.documents.protected_spans import find_nesting_fault, split_parts
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    is_blank,
)
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    join_xml,
    set_attribute,
    start_tag,
)
from llmtool.errors import InputError

_REASONS = {"source": "source text", "oldsource": "source text", "name": "name of a context"}
_ARGUMENT = re.compile(r"(%L?(?:\d{1,2}|n))")
_COMMENTS = ("comment", "oldcomment", "extracomment", "translatorcomment")


class _Value(msgspec.Struct, frozen=True):
    """The element whose text is replaced, and the `<translation>` that it is or is in."""

    element: Element
    translation: Element


class QtMessages(Document):
    """The unfinished messages of a Qt Linguist file.

    Raises:
        InputError: the file is not well-formed XML, or has no `<TS>`.

    Example:
        >>> source = (
        ...     '<TS><context><message><source>Open %1</source>'
        ...     '<translation type="unfinished"></translation></message></context></TS>'
        ... )
        >>> [segment.source for segment in QtMessages(source).segments]
        ['Open %1']
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._xml = Xml(source)
        if self._xml.elements[0].name != "TS":
            raise InputError("line 1: not a Qt Linguist file; it has no <TS>")
        self._values: dict[int, _Value] = {}  # by the start of each segment
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, _reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        value = self._values[segment.start]
        text = join_xml(parts, quotes=True)
        xml, (start, _) = self._xml, self._xml.span(value.element)
        if value.element is value.translation:
            head = ""
        else:  # the white space between the translation and its first form
            head = self.source[segment.start : start]
        translation = xml.tokens[value.translation.first]
        if segment.start == translation.start:
            tag = set_attribute(self.source[translation.start : translation.end], "type", None)
            head = tag + head[translation.end - translation.start :]
        if value.element is value.translation:
            return f"{start_tag(head)}{text}</{value.element.tag}>"
        tag = self.source[start : xml.tokens[value.element.first].end]
        return f"{head}{start_tag(tag)}{text}</{value.element.tag}>"

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        if is_blank(parts):
            return "is empty"
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = _messages(self._xml), _messages(Xml(output))
        if len(before) != len(after):
            return "the number of elements differs"
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
            if one != other:
                return f"element {number} differs"
        return None

    def _segments(self) -> Iterator[Segment]:
        xml = self._xml
        for message in xml.find("message"):
            sources, translations = (
                xml.children(message, "source"),
                xml.children(message, "translation"),
            )
            if not sources or not translations:
                continue
            translation = translations[0]
            parts = xml.parts(sources[0], split=_split)
            if translation.attributes.get("type") != "unfinished" or not has_letters(parts):
                continue
            context = tuple(xml.text(each) for each in xml.children(message, *_COMMENTS))
            start, end = xml.span(translation)
            forms = xml.children(translation, "numerusform")
            for form in forms or [translation]:
                if forms:
                    end = xml.span(form)[1]
                self._values[start] = _Value(form, translation)
                yield Segment(start=start, end=end, parts=parts, context=context)
                start = end


def _split(text: str) -> list[Part]:
    """Split a text into plain text and protected spans, such as `%1`, `%L2` and `%n`."""
    parts: list[Part] = []
    for part in split_parts(text):
        if isinstance(part, str):
            pieces = _ARGUMENT.split(part)
            parts += [ProtectedSpan(each) if i % 2 else each for i, each in enumerate(pieces)]
        else:
            parts.append(part)
    return parts


def _reason(token: Token, element: Element | None) -> OutsideText:
    name = element.name if element is not None else ""
    if element is not None and (translation := element.closest("translation")):
        reason = translation.attributes.get("type", "translated")
        return OutsideText(token.start, token.end, f"{reason} message")
    reason = "comment" if name in _COMMENTS else _REASONS.get(name, "metadata")
    return OutsideText(token.start, token.end, reason)


def _messages(xml: Xml) -> list[tuple[object, ...]]:
    """Return what a translation must not change: all but the texts of the translations."""
    return [
        (
            element.tag,
            *(element.attributes.items() if element.name != "translation" else ()),
            xml.text(element) if element.name in (*_REASONS, *_COMMENTS) else "",
        )
        for element in xml.elements
        if element.name == "numerusform" or not element.is_in("translation")
    ]
