"""Android string resources: strings, string arrays and plurals (`res/values/strings.xml`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial

import msgspec

from llmtool.documents.localization.icu import is_icu
from llmtool.documents.localization.messages import escape_message, flags_of, split_message
from llmtool.documents.localization.plural_forms import begin_form, categories_of, split_forms
from llmtool.documents.localization.values import (
    find_message_fault,
    is_message,
    join_surrogates,
)
from llmtool.documents.protected_spans import TAGS, is_word_in_brackets
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    join_parts,
)
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    find_cdata_fault,
    join_xml,
    set_attribute,
    start_tag,
)
from llmtool.errors import InputError

_FORMAT = "java-printf-format"
_CHARACTERS = {"n": "\n", "t": "\t"}
_REFERENCE = re.compile(r"\s*[@?](?:\w+:)?(?:\w+/)?[\w.]+\s*")
# Quotation marks keep the white space between them, and do not appear in the message.
_UNIT = re.compile(r"\\u([0-9a-fA-F]{4})|\\.|[ \t\r\n]+|.", re.DOTALL)
_TAG = re.compile(TAGS, re.VERBOSE)
_Unit = tuple[str, str]  # a piece of a message, and its source


class _Form(msgspec.Struct, frozen=True):
    """A plural form to write: its name, a number that belongs to it, and the item of its text."""

    quantity: str
    number: str
    item: Element


class AndroidStrings(Document):
    """The messages of a resource file, which a translation replaces.

    `to` is the code of the target language, whose plural forms are written.

    Raises:
        InputError: the file is not well-formed XML, or has no `<resources>`.

    Example:
        >>> source = '<resources><string name="a">It\\\\\\'s <b>%1$s</b></string></resources>'
        >>> AndroidStrings(source).segments[0].parts[0]
        "It's "
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        super().__init__(source)
        self._to = to
        self._plurals: dict[int, list[_Form]] = {}  # by the start of each segment
        self._strings: dict[int, Element] = {}
        self._xml = Xml(source)
        if self._xml.elements[0].name != "resources":
            raise InputError("line 1: not an Android resource file; it has no <resources>")
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, self._reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        forms = self._plurals.get(segment.start)
        if forms is None:
            return self._encode_message(self._strings[segment.start], parts)
        plural = forms[0].item.parent
        assert plural is not None
        items = self._xml.children(plural, "item")
        ends = [self._xml.span(each)[1] for each in items]
        gaps = [
            self.source[end : self._xml.span(item)[0]]
            for end, item in zip(ends, items[1:], strict=False)
        ]
        default = self.source[self._xml.content(plural)[0] : segment.start]
        default = default if not default.strip() else ""
        text = ""
        for i, (form, written) in enumerate(zip(forms, split_forms(parts), strict=True)):
            tag = self._xml.tokens[form.item.first]
            start = start_tag(self.source[tag.start : tag.end])
            start = set_attribute(start, "quantity", form.quantity)
            text += (gaps[i - 1] if i <= len(gaps) else default) if i else ""
            text += f"{start}{self._encode_message(form.item, written)}</{form.item.tag}>"
        return text + "".join(gap.rstrip() for gap in gaps[len(forms) - 1 :])

    def _encode_message(self, element: Element, parts: Sequence[Part]) -> str:
        escaped = escape_message(parts, *self._message(element))
        text = join_xml(escaped, encode=_escape)
        return f"\\{text}" if text[:1] in ("@", "?") else text

    def _message(self, element: Element) -> tuple[str, tuple[str, ...]]:
        """Return the text of an element, and the flags for its placeholders."""
        text = self._xml.text(element)
        return text, flags_of(text, _FORMAT)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        if segment.start in self._strings:
            elements = [self._strings[segment.start]]
        else:
            elements = [form.item for form in self._plurals[segment.start]]
        before, after = split_forms(segment.parts), split_forms(parts)
        for element, one, other in zip(elements, before, after, strict=True):
            fault = find_message_fault(one, other, *self._message(element))
            if fault := fault or find_cdata_fault(other):
                return fault
        return None

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
        for one, other in zip(self._xml.find("plurals"), xml.find("plurals"), strict=True):
            if fault := self._compare_plurals(one, xml, other):
                return f"the {fault} in {_context(one)[0]} differ"
        return None

    def _compare_plurals(self, before: Element, xml: Xml, after: Element) -> str | None:
        """Return what differs in a plural, whose forms may be those of the target language."""
        items, written = self._xml.children(before, "item"), xml.children(after, "item")
        quantities = [each.attributes.get("quantity") for each in written]
        own = [each.attributes.get("quantity") for each in items]
        if quantities != own and quantities != list(categories_of(self._to or "en")):
            return "plural forms"
        tags = [self._xml.tags(each) for each in items]
        return None if all(xml.tags(each) in tags for each in written) else "tags"

    def _segments(self) -> Iterator[Segment]:
        for element in self._xml.find("string", "item", "plurals"):
            if not _is_translatable(element):
                continue
            if element.name == "plurals":
                yield from self._plural(element)
            elif _is_value(element) and _is_message(self._xml, element):
                start, end = self._xml.content(element)
                self._strings[start] = element
                parts = tuple(self._parts(element))
                context = _context(element)
                yield Segment(
                    start=start,
                    end=end,
                    parts=parts,
                    context=context,
                    key=context,
                    is_atomic=is_icu(self._xml.text(element)),
                )

    def _parts(self, element: Element) -> tuple[Part, ...]:
        to = None if element.is_in("plurals") else self._to
        split = partial(_split, flags=self._message(element)[1], to=to)
        return self._xml.parts(element, opaque=_is_opaque, split=split)

    def _plural(self, element: Element) -> Iterator[Segment]:
        """Yield the segment of a plural, with all forms of the target language."""
        items = self._xml.children(element, "item")
        if not any(_is_message(self._xml, item) for item in items):
            return
        by_quantity = {item.attributes.get("quantity", "other"): item for item in items}
        forms = list(self._forms(by_quantity))
        start, end = self._xml.span(items[0])[0], self._xml.span(items[-1])[1]
        self._plurals[start] = forms
        parts = [
            part for form in forms for part in (begin_form(form.number), *self._parts(form.item))
        ]
        context = _context(element)
        yield Segment(
            start=start,
            end=end,
            parts=tuple(parts),
            context=context,
            key=context,
            is_atomic=True,
        )

    def _forms(self, items: dict[str, Element]) -> Iterator[_Form]:
        """Yield the forms of the target language, each with the item that is translated for it."""
        if self._to is None:
            for quantity, item in items.items():
                yield _Form(quantity, categories_of("en").get(quantity, ("2",))[0], item)
            return
        other = items.get("other") or list(items.values())[-1]
        for quantity, (number, is_one) in categories_of(self._to).items():
            item = items.get(quantity, other)
            if (
                quantity == "one"
                and not is_one
                and self._placeholders(item) != self._placeholders(other)
            ):
                item = other  # it also needs the placeholder of the number
            yield _Form(quantity, "1" if item is items.get("one") else number, item)

    def _placeholders(self, element: Element) -> list[str]:
        return sorted(p.source for p in self._parts(element) if isinstance(p, ProtectedSpan))

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
    return [each for each in xml.find("string", "item") if _is_value(each)]


def _is_value(element: Element) -> bool:
    """Whether an element is a string, or an item of an array."""
    return element.name == "string" or element.is_in("string-array")


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
    named = element if element.name != "item" or element.parent is None else element.parent
    return (named.attributes.get("name", ""),)


def _split(text: str, flags: Collection[str] = (), to: str | None = None) -> list[Part]:
    """Split the text of a resource into text, without its escapes, and protected spans.

    A tag is one span, with the escapes and quotation marks in it. White space at the ends is
    preserved only as an escape, which is a span.
    """
    units = list(_units(text))
    first, end = 0, len(units)
    while first < end and _is_escaped_space(units[first]):
        first += 1
    while end > first and _is_escaped_space(units[end - 1]):
        end -= 1
    lead, trail = (
        [ProtectedSpan(source, is_fixed=True) for _, source in each]
        for each in (units[:first], units[end:])
    )
    return [*lead, *_split_message(units[first:end], flags, to), *trail]


def _is_escaped_space(unit: _Unit) -> bool:
    piece, source = unit
    return piece.isspace() and source[0] == "\\"


def _split_message(
    units: Sequence[_Unit], flags: Collection[str], to: str | None
) -> Iterator[Part]:
    message = "".join(piece for piece, _ in units)
    indexes = [index for index, (piece, _) in enumerate(units) for _ in piece]
    at = 0
    for tag in _TAG.finditer(message):
        if not is_word_in_brackets(tag[0], message):
            start, end = indexes[tag.start()], indexes[tag.end() - 1] + 1
            yield from _split_units(units[at:start], flags, to)
            yield ProtectedSpan("".join(source for _, source in units[start:end]))
            at = end
    yield from _split_units(units[at:], flags, to)


def _units(text: str) -> Iterator[_Unit]:
    """Yield the characters, escapes, runs of white space, and quotation marks of a text."""
    is_quoted = False
    for found in _UNIT.finditer(text):
        source, code = found[0], found[1]
        if source == '"':
            is_quoted = not is_quoted
            yield "", source
        elif code:
            yield chr(int(code, 16)), source
        elif source[0] == "\\":
            yield _CHARACTERS.get(source[1:], source[1:] or source), source
        else:
            yield (" " if source[0] in " \t\r\n" and not is_quoted else source), source


def _split_units(units: Sequence[_Unit], flags: Collection[str], to: str | None) -> Iterator[Part]:
    plain = ""
    for piece, source in (*units, ("", "")):
        if piece:
            plain += piece
            continue
        for part in split_message(join_surrogates(plain), flags, to=to):
            yield part if isinstance(part, str) else _escape_span(part)
        if source:
            yield ProtectedSpan(source, is_fixed=True)
        plain = ""


def _escape_span(span: ProtectedSpan) -> ProtectedSpan:
    return msgspec.structs.replace(span, source=_escape(span.source))


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t")


def _elements(xml: Xml) -> list[tuple[object, ...]]:
    """Return the elements with their attributes, without those in messages and plurals."""
    outer = [*_values(xml), *xml.find("plurals")]
    inner = {id(each) for value in outer for each in xml.descendants(value)}
    return [
        (element.tag, *element.attributes.items())
        for element in xml.elements
        if id(element) not in inner
    ]
