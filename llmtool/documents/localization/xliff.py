"""XLIFF 1.2 and 2.x.

The segments are units without a target, or with one whose state says that it has to be translated.
A translation is written as the target, in the state "translated", or marked for review.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from llmtool.documents.language_tags import is_tag_of
from llmtool.documents.localization.icu import is_icu
from llmtool.documents.localization.messages import quote_note, split_tagged_message
from llmtool.documents.localization.values import find_message_fault
from llmtool.documents.types import Document, Mark, OutsideText, Part, Segment, has_letters
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    escape_span,
    find_cdata_fault,
    join_xml,
    set_attribute,
    start_tag,
    with_attribute,
)
from llmtool.errors import InputError

# Targets in these states are replaced; 1.2 and 2.x use different names.
_UNTRANSLATED = frozenset(("new", "needs-translation", "needs-adaptation", "needs-l10n", "initial"))
_REVIEW_2 = "llmtool:needs-review"  # 2.x has no state of its own for it
# Elements that contain native code, whose text is not translated.
_NATIVE = frozenset(("bpt", "ept", "it", "ph", "x", "bx", "ex", "sc", "ec", "cp", "sm", "em"))
_REASONS = {
    "note": "comment",
    "source": "source text",
    "seg-source": "source text",
    "target": "translated message",
}
_UNITS = ("trans-unit", "segment")
_MARKERS = re.compile(r"</?(?:[\w-]+:)?mrk\b[^>]*>")  # of segments, in 1.2


class _Unit(msgspec.Struct, frozen=True):
    """A unit: its element, source, and target if there is one; otherwise it goes after `last`.

    `text` is what is translated: the source as it is divided into segments, if it is.
    """

    element: Element
    source: Element
    text: Element
    target: Element | None
    last: Element


class Xliff(Document):
    """The untranslated units of an XLIFF file.

    `to` is the code of the target language, which is set in the file. With the `mark` fuzzy,
    translations are marked for review.

    Raises:
        InputError: the file is not well-formed XML, or has no `<xliff>`.

    Example:
        >>> source = (
        ...     '<xliff version="1.2"><file><body><trans-unit id="a">'
        ...     "<source>Good <g id='1'>day</g></source></trans-unit></body></file></xliff>"
        ... )
        >>> [segment.text for segment in Xliff(source).segments]
        ['Good  day ']
    """

    has_targets = True

    def __init__(self, source: str, *, to: str | None = None, mark: Mark | None = None) -> None:
        xml = Xml(source)
        if xml.elements[0].name != "xliff":
            raise InputError("line 1: not an XLIFF file; it has no <xliff>")
        files = [xml.elements[0], *xml.find("file")]
        named = (
            each.attributes.get(name) for each in files for name in ("trgLang", "target-language")
        )
        self.language = next(filter(None, named), "")
        self._xml = xml if to is None else _with_language(xml, to)
        super().__init__(self._xml.source)
        self._mark, self._to = mark, to
        self._units: dict[int, _Unit] = {}  # by the start of each segment
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, _reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        unit, xml = self._units[segment.start], self._xml
        is_segment = unit.element.name == "segment"
        text, before = join_xml(parts), ""
        at = segment.start
        if is_segment:
            end = xml.tokens[unit.element.first].end
            before = set_attribute(self.source[at:end], "state", "translated")
            before = set_attribute(before, "subState", _REVIEW_2 if self._mark else None)
            at = end
        if unit.target is not None:
            start, end = xml.span(unit.target)
            tag = self.source[start : xml.tokens[unit.target.first].end]
            if not is_segment:
                tag = set_attribute(tag, "state", self._state)
            before += self.source[at:start]
            return f"{before}{start_tag(tag)}{text}</{unit.target.tag}>"
        prefix = unit.source.tag.removesuffix("source")
        start, end = xml.span(unit.source)
        line = self.source[self.source.rfind("\n", 0, start) + 1 : start]
        indent = self._newline + line if "\n" in self.source[:start] and not line.strip() else ""
        tag = f"<{prefix}target>" if is_segment else f'<{prefix}target state="{self._state}">'
        return f"{before}{self.source[at : segment.end]}{indent}{tag}{text}</{prefix}target>"

    @property
    def _state(self) -> str:
        """The state of a new target in 1.2; that of 2.x is an attribute of its segment."""
        return "needs-review-translation" if self._mark else "translated"

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text = self._xml.text(self._units[segment.start].source)
        return find_message_fault(segment.parts, parts, text, ()) or find_cdata_fault(parts)

    def translations(self) -> Mapping[tuple[str, ...], Sequence[Part]]:
        return {
            _key(self._xml, unit): _parts(self._xml, unit.target)
            for unit in _units(self._xml)
            if unit.target is not None and _is_translated(self._xml, unit)
        }

    def compare(self, output: str) -> str | None:
        after = Xml(output)
        if _skeleton(self._xml) != _skeleton(after):
            return "an element outside of the targets differs"
        for one, other in zip(_units(self._xml), _units(after), strict=True):
            if one.target is not None and other.target is not None:
                if self._xml.text(one.target) == after.text(other.target):
                    continue
            if other.target is not None and _has_content(after, other.target):
                if not self._has_same_tags(one.text, after, other.target):
                    name = one.element.inherited("id") or self._xml.text(one.source)
                    return f"the tags of the unit {name} differ"
        return None

    def _has_same_tags(self, source: Element, after: Xml, target: Element) -> bool:
        before, tags = self._xml.tags(source), after.tags(target)
        if is_icu(self._xml.text(source)):  # forms of the target language repeat them
            return set(before) == set(tags)
        return before == tags

    def _segments(self) -> Iterator[Segment]:
        xml = self._xml
        for unit in _units(xml):
            parts = _parts(xml, unit.text, self._to)
            if (
                _is_translated(xml, unit)
                or not _is_translatable(unit.element)
                or not has_letters(parts)
            ):
                continue
            start = xml.span(unit.element)[0]
            if unit.element.name == "segment":
                end = xml.span(unit.target or unit.last)[1]
            elif unit.target is not None:
                start, end = xml.span(unit.target)
            else:
                start, end = xml.content(unit.last)[1], xml.span(unit.last)[1]
            self._units[start] = unit
            comments = (xml.text(note) for note in _notes(xml, unit.element))
            notes = tuple(f"comment {quote_note(each)}" for each in comments if each.strip())
            key = _key(xml, unit)
            yield Segment(
                start=start,
                end=end,
                parts=parts,
                key=key,
                notes=notes,
                is_atomic=is_icu(xml.text(unit.source)),
            )


def _with_language(xml: Xml, to: str) -> Xml:
    """Return a file with its target language set."""
    root = xml.elements[0]
    is_2 = root.attributes.get("version", "").startswith("2")
    elements, name = ([root], "trgLang") if is_2 else (xml.find("file"), "target-language")
    changed = [each for each in elements if not is_tag_of(each.attributes.get(name, ""), to)]
    return Xml(with_attribute(xml, changed, name, to)) if changed else xml


def _units(xml: Xml) -> list[_Unit]:
    found = []
    for element in xml.find(*_UNITS):
        if element.name == "segment" and not element.is_in("unit"):
            continue
        sources, targets = xml.children(element, "source"), xml.children(element, "target")
        if sources:
            target = targets[0] if targets else None
            divided = xml.children(element, "seg-source")
            last = [*sources, *divided][-1]
            found.append(_Unit(element, sources[0], [*divided, sources[0]][0], target, last))
    return found


def _parts(xml: Xml, element: Element, to: str | None = None) -> tuple[Part, ...]:
    parts = xml.parts(element, opaque=_is_opaque, split=lambda text: [text])
    start, end = xml.content(element)
    if "<![CDATA[" in xml.source[start:end]:
        return split_tagged_message(parts, to=to)
    return split_tagged_message(parts, to=to, escape=escape_span)


def _key(xml: Xml, unit: _Unit) -> tuple[str, ...]:
    start, end = xml.content(unit.source)
    names = (unit.element.inherited("original") or "", unit.element.inherited("id") or "")
    return (*names, xml.source[start:end])


def _notes(xml: Xml, element: Element) -> list[Element]:
    if element.name == "trans-unit":
        return xml.children(element, "note")
    unit = element.closest("unit") or element
    return [note for notes in xml.children(unit, "notes") for note in xml.children(notes, "note")]


def _is_translated(xml: Xml, unit: _Unit) -> bool:
    if unit.target is None or not _has_content(xml, unit.target):
        return False
    holder = unit.element if unit.element.name == "segment" else unit.target
    return (
        unit.element.attributes.get("approved") == "yes"
        or holder.attributes.get("state") not in _UNTRANSLATED
    )


def _has_content(xml: Xml, element: Element) -> bool:
    start, end = xml.content(element)
    return bool(_MARKERS.sub("", xml.source[start:end]).strip())


def _is_translatable(element: Element) -> bool:
    return element.inherited("translate") != "no"


def _is_opaque(element: Element) -> bool:
    return (
        element.name in _NATIVE
        or element.attributes.get("translate") == "no"
        or (element.name == "mrk" and element.attributes.get("mtype") == "protected")
    )


def _reason(token: Token, element: Element | None) -> OutsideText:
    around = element
    while around is not None:
        if around.attributes.get("translate") == "no":
            return OutsideText(token.start, token.end, 'translate="no"')
        if around.name in _REASONS:
            is_memory = around.is_in("alt-trans")
            reason = "translation memory" if is_memory else _REASONS[around.name]
            return OutsideText(token.start, token.end, reason)
        around = around.parent
    return OutsideText(token.start, token.end, "metadata")


def _skeleton(xml: Xml) -> list[tuple[object, ...]]:
    """Return the elements outside of targets, with their attributes but the state."""
    units = {id(unit.target): unit for unit in _units(xml) if unit.target is not None}
    segments = {id(unit.element) for unit in _units(xml)}
    inner = {
        id(each) for unit in units.values() if unit.target for each in xml.descendants(unit.target)
    }
    return [
        (
            element.tag,
            *(
                (name, value)
                for name, value in element.attributes.items()
                if id(element) not in segments or name not in ("state", "subState")
            ),
            xml.text(element) if element.name == "source" else "",
        )
        for element in xml.elements
        if id(element) not in units and id(element) not in inner
    ]
