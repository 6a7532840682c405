"""Qt Linguist files (`.ts`).

The segments are unfinished messages without a translation or with a suggestion. A translation also
removes `type="unfinished"`, unless it is marked for review. Numerus forms are those of the target
language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llmtool.documents.language_tags import is_tag_of, locale_name
from llmtool.documents.localization.messages import flags_of, quote_note, split_message
from llmtool.documents.localization.plural_forms import begin_form, qt_forms, split_forms
from llmtool.documents.localization.values import find_message_fault
from llmtool.documents.types import Document, Mark, OutsideText, Part, Segment, has_letters
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    join_xml,
    set_attribute,
    start_tag,
    with_attribute,
)
from llmtool.errors import InputError

_REASONS = {"source": "source text", "oldsource": "source text", "name": "name of a context"}
_COMMENTS = ("comment", "oldcomment", "extracomment", "translatorcomment")


class QtMessages(Document):
    """The unfinished messages of a Qt Linguist file.

    `to` is the code of the target language, which is set in the file. With the `mark` fuzzy,
    messages remain unfinished.

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

    has_targets = True

    def __init__(self, source: str, *, to: str | None = None, mark: Mark | None = None) -> None:
        xml = Xml(source)
        root = xml.elements[0]
        if root.name != "TS":
            raise InputError("line 1: not a Qt Linguist file; it has no <TS>")
        self.language = root.attributes.get("language", "")
        if to is not None and not is_tag_of(self.language, to):
            xml = Xml(with_attribute(xml, [root], "language", locale_name(to)))
        super().__init__(xml.source)
        self._xml, self._to, self._mark = xml, to, mark
        # The source text and the translation of each segment, by its start.
        self._messages: dict[int, tuple[str, Element]] = {}
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, _reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        _, translation = self._messages[segment.start]
        xml = self._xml
        first = xml.tokens[translation.first]
        tag = self.source[first.start : first.end]
        if self._mark is None:
            tag = set_attribute(tag, "type", None)
        texts = [join_xml(each, quotes=True) for each in split_forms(parts)]
        end = f"</{translation.tag}>"
        forms = xml.children(translation, "numerusform")
        if not forms:
            return start_tag(tag) + "".join(texts) + end
        # The white space before the first form, and after the last one.
        before = self.source[first.end : xml.span(forms[0])[0]]
        after = self.source[xml.span(forms[-1])[1] : xml.content(translation)[1]]
        name = forms[0].tag
        written = (f"{before}<{name}>{text}</{name}>" for text in texts)
        return start_tag(tag) + "".join(written) + after + end

    def translations(self) -> Mapping[tuple[str, ...], Sequence[Part]]:
        xml = self._xml
        found: dict[tuple[str, ...], Sequence[Part]] = {}
        for message in xml.find("message"):
            for translation in xml.children(message, "translation")[:1]:
                forms = xml.children(translation, "numerusform")
                texts = [xml.parts(each, split=split_message) for each in forms or [translation]]
                if "type" not in translation.attributes and all(map(has_letters, texts)):
                    numbers = self._numbers(len(forms))
                    found[_key(xml, message)] = [
                        part
                        for n, text in zip(numbers, texts, strict=False)
                        for part in (begin_form(n), *text)
                    ] or texts[0]
        return found

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text, _ = self._messages[segment.start]
        flags = flags_of(text, "qt-format")
        forms = zip(split_forms(segment.parts), split_forms(parts), strict=True)
        faults = (find_message_fault(one, other, text, flags) for one, other in forms)
        return next((fault for fault in faults if fault), None)

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
            own = xml.parts(sources[0], split=split_message)
            if translation.attributes.get("type") != "unfinished" or not has_letters(own):
                continue
            numbers = self._numbers(len(xml.children(translation, "numerusform")))
            parts = tuple(part for n in numbers for part in (begin_form(n), *own))
            comments = (xml.text(each) for each in xml.children(message, *_COMMENTS))
            start, end = xml.span(translation)
            self._messages[start] = xml.text(sources[0]), translation
            yield Segment(
                start=start,
                end=end,
                parts=parts or own,
                key=_key(xml, message),
                notes=tuple(f"comment {quote_note(each)}" for each in comments if each.strip()),
                is_atomic=bool(parts),
            )

    def _numbers(self, n_forms: int) -> list[int]:
        """Return an example number for each form that a message with forms gets."""
        if self._to is None or not n_forms:
            return [1, *([2] * (n_forms - 1))][:n_forms]
        forms = qt_forms(self._to)
        return [forms.example(i) or i for i in range(len(forms.numbers))]


def _key(xml: Xml, message: Element) -> tuple[str, ...]:
    names = xml.children(message.parent, "name") if message.parent is not None else []
    found = [*names[:1], *xml.children(message, "source", "comment")]
    return (message.attributes.get("id", ""), *(xml.text(each) for each in found))


def _reason(token: Token, element: Element | None) -> OutsideText:
    name = element.name if element is not None else ""
    if element is not None and (translation := element.closest("translation")):
        reason = translation.attributes.get("type", "translated")
        return OutsideText(token.start, token.end, f"{reason} message")
    reason = "comment" if name in _COMMENTS else _REASONS.get(name, "metadata")
    return OutsideText(token.start, token.end, reason)


def _messages(xml: Xml) -> list[tuple[object, ...]]:
    """Return what a translation must not change: all but the translations."""
    return [
        (
            element.tag,
            *(element.attributes.items() if element.name != "translation" else ()),
            xml.text(element) if element.name in (*_REASONS, *_COMMENTS) else "",
        )
        for element in xml.elements
        if not element.is_in("translation")
    ]
