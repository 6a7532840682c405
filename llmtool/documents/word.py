"""A part of a Word document: its main text, a header, notes, a diagram, a chart or its properties.

A segment is a paragraph, a label of a chart or a property, without what surrounds its text. Changes
of the formatting in it, tabs, links and other elements are protected spans, which keep their order.

Word shows data of other parts (`customXml`, other properties) in fields and content controls. These
parts have a segment for each text that is also a paragraph, so that both get the same translation.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from llmtool.documents.language_tags import is_right_to_left, is_tag_of
from llmtool.documents.protected_spans import split_parts
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
    escape_xml,
    join_xml,
    set_attribute,
    unescape_xml,
)

# Between two texts of equal formatting: Word splits a text for its spelling check and history.
_SPLIT = re.compile(
    r"</w:t>\s*</w:r>\s*(?:<w:proofErr\b[^<>]*/>\s*)*<w:r(?:\s[^<>]*)?>\s*"
    r"(?P<format><w:rPr>.*?</w:rPr>)?\s*(?:<w:lastRenderedPageBreak/>\s*)?<w:t(?:\s[^<>]*)?>",
    re.DOTALL,
)
_SAME_RUN = re.compile(r"</w:t>\s*<w:lastRenderedPageBreak/>\s*<w:t(?:\s[^<>]*)?>")
_IGNORED = re.compile(r"<w:(?:lang|noProof)\b[^<>]*/>|\s+")
_TAG = re.compile(r"<[^<>]+>")
_TEXT_TAG = re.compile(r"<w:t(?:\s[^<>]*)?>\Z")
# Attributes that readers see: alternative texts, watermarks, tooltips, choices of forms.
_TEXT_ATTRIBUTES = {
    "docPr": ("descr", "title"),
    "cNvPr": ("descr", "title"),
    "textpath": ("string",),
    "shape": ("alt",),
    "hyperlink": ("w:tooltip",),
    "hlinkClick": ("tooltip",),
    **dict.fromkeys(("tblCaption", "tblDescription", "helpText", "statusText"), ("w:val",)),
    "lvlText": ("w:val",),
    "listItem": ("w:displayText",),
}
# Outside of paragraphs: the labels of charts, and the properties in `docProps/core.xml`.
_LABELS = ("strCache", "strLit", "strDim", "txData")
_PROPERTIES = ("dc:title", "dc:subject", "dc:description", "cp:keywords", "cp:category")
_REASONS = {"instrText": "field code", "delText": "deleted text"}
_TEXTS = ("w:t", "a:t")
# The namespaces of the roots of parts with text; other parts have data.
_TEXT_ROOTS = frozenset("w a c cx cs dgm dsp cp".split())
_ROOT = re.compile(r"(?:[^<]|<[?!])*<(?:(\w+):)?\w")
_LEVEL = re.compile(r"(%\d)")
_LANGUAGE = re.compile(r"<w:lang\b[^<>]*>")
_EAST_ASIAN = ("ja", "ko", "zh", "yue")
_JOINED = frozenset(("r", "t", "rPr", "proofErr", "lastRenderedPageBreak"))


class _InnerAttribute(Segment, frozen=True, kw_only=True):
    """The value of an attribute within a segment, in the tags of a `place`: tag and name."""

    place: tuple[str, str]


class WordPart(Document):
    """A part of a Word document; `to` is the code of the target language, which its texts declare.

    `shown` are the paragraphs of the document, for a part with data.

    Raises:
        InputError: it is not well-formed XML.

    Example:
        >>> source = "<w:p><w:r><w:t>Good </w:t></w:r><w:r><w:t>morning</w:t></w:r></w:p>"
        >>> WordPart(source.replace("<w:p>", "<w:p xmlns:w='x'>")).segments[0].parts
        ('Good morning',)
    """

    def __init__(self, source: str, *, to: str | None = None, shown: Collection[str] = ()) -> None:
        super().__init__(source if to is None else _with_language(source, to))
        self._xml = Xml(self.source)
        self._shown = shown
        # The starts of segments that are attributes, and of those outside of paragraphs.
        self._attributes: set[int] = set()
        self._plain: set[int] = set()
        # By the start of a segment, the translations of attributes in it, by tag and name.
        self._inner: defaultdict[int, dict[tuple[str, str], str]] = defaultdict(dict)
        texts = sorted(
            [*self._paragraphs(), *self._plain_segments()], key=lambda segment: segment.start
        )
        found = [*self._attribute_segments(texts), *texts]
        self.segments = tuple(sorted(found, key=lambda segment: segment.start))
        self.outside = self._xml.outside(self.segments, _reason)

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        inner = self._inner[segment.start]
        if isinstance(segment, _InnerAttribute):
            tag, name = segment.place
            is_unchanged = tuple(parts) == segment.parts
            value = tag[slice(*_find_value(tag, name))] if is_unchanged else ""
            inner[segment.place] = value or _encode_attribute(parts)
            return ""
        text = super().encode(segment, parts)
        for tag in {tag for tag, _ in inner}:
            new = tag
            for (_, name), value in (each for each in inner.items() if each[0][0] == tag):
                start, end = _find_value(new, name)
                new = new[:start] + value + new[end:]
            text = text.replace(tag, new)
        return text

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if segment.start in self._attributes:
            return _encode_attribute(parts)
        if segment.start in self._plain:
            return join_xml(parts)
        tag_end = self.source.index(">", segment.start) + 1
        text = _keep_space(self.source[segment.start : tag_end])
        for part in parts:
            if isinstance(part, str):
                text += escape_xml(" ".join(part.split("\n")))
            else:
                text += _keep_space(part.source)
        return text

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        if is_blank(parts):
            return "is empty"
        # Adjacent spans may be joined, so only their tags are compared.
        before, after = (
            _TAG.findall("".join(part.source for part in each if isinstance(part, ProtectedSpan)))
            for each in (segment.parts, parts)
        )
        if before != after:
            return "changes the order of the formatting"
        return None

    def compare(self, output: str) -> str | None:
        before, after = _skeleton(self._xml), _skeleton(Xml(output))
        return None if before == after else "a paragraph or its formatting differs"

    def _paragraphs(self) -> Iterator[Segment]:
        for texts in _runs(self._xml):
            parts = tuple(self._parts(texts))
            if has_letters(parts):
                start = self._xml.span(texts[0])[0]
                yield Segment(start=start, end=self._xml.content(texts[-1])[1], parts=parts)

    def _parts(self, texts: list[Element]) -> Iterator[Part]:
        """Yield the texts, and what is between them unless it can be dropped."""
        text = ""
        for i, element in enumerate(texts):
            start, end = self._xml.content(element)
            if i:
                before = self._xml.content(texts[i - 1])[1]
                between = self.source[before:start]
                if not self._is_split(texts[i - 1], between):
                    yield from _split(text)
                    yield ProtectedSpan(between)
                    text = ""
            text += unescape_xml(self.source[start:end])
        yield from _split(text)

    def _is_split(self, element: Element, between: str) -> bool:
        """Whether the formatting after an element's text is the same as before."""
        if _SAME_RUN.fullmatch(between):
            return True
        found = _SPLIT.fullmatch(between)
        run = element.parent
        if found is None or run is None:
            return False
        formats = self._xml.children(run, "rPr")
        before = self.source[slice(*self._xml.span(formats[0]))] if formats else ""
        return _normalize(before) == _normalize(found["format"] or "")

    def _plain_segments(self) -> Iterator[Segment]:
        """Yield the labels of a chart, the properties of the document, and data that it shows."""
        has_data = is_data(self.source)
        for element in self._xml.elements:
            is_label = element.name in ("v", "pt") and element.is_in(*_LABELS)
            start, end = self._xml.content(element)
            is_shown = has_data and unescape_xml(self.source[start:end]) in self._shown
            if is_label or is_shown or element.tag in _PROPERTIES:
                parts = self._xml.parts(element)
                if has_letters(parts) and "<" not in self.source[start:end]:
                    self._plain.add(start)
                    yield Segment(start=start, end=end, parts=parts)

    def _attribute_segments(self, texts: Sequence[Segment]) -> Iterator[Segment]:
        """Yield the attributes with text; those within the segment of a text are before it."""
        starts = [segment.start for segment in texts]
        for element in self._xml.elements:
            token = self._xml.tokens[element.first]
            tag = self.source[token.start : token.end]
            for name in _TEXT_ATTRIBUTES.get(element.name, ()):
                start, end = _find_value(tag, name)
                text = unescape_xml(tag[start:end])
                parts = split_parts(text) if element.name != "lvlText" else _split_number(text)
                if not has_letters(parts):
                    continue
                index = bisect_right(starts, token.start) - 1
                if index >= 0 and token.start < texts[index].end:
                    place = (tag, name)
                    if place not in self._inner[starts[index]]:
                        self._inner[starts[index]][place] = tag[start:end]
                        yield _InnerAttribute(
                            start=starts[index], end=starts[index], parts=parts, place=place
                        )
                    continue
                self._attributes.add(token.start + start)
                yield Segment(start=token.start + start, end=token.start + end, parts=parts)


def is_data(source: str) -> bool:
    """Return whether a part has data of programs, some of which the document shows.

    Example:
        >>> is_data("<Properties/>"), is_data("<w:document/>")
        (True, False)
    """
    found = _ROOT.match(source)
    return found is not None and found[1] not in _TEXT_ROOTS


def _find_value(tag: str, name: str) -> tuple[int, int]:
    """Return where the value of an attribute is in a tag, an empty range if it is missing."""
    found = re.search(rf"""\s{name}\s*=\s*(["'])(.*?)\1""", tag, re.DOTALL)
    return found.span(2) if found else (0, 0)


def _encode_attribute(parts: Sequence[Part]) -> str:
    return "".join(
        escape_xml(part if isinstance(part, str) else part.source, quotes=True) for part in parts
    )


def _runs(xml: Xml) -> Iterator[list[Element]]:
    """Yield the text elements of each paragraph, apart from those of paragraphs in it."""
    texts: list[Element] = []
    paragraph: Element | None = None
    for element in xml.elements:
        if element.name == "p":
            if texts:
                yield texts
            texts = []
        elif element.tag in _TEXTS and element.first != element.last:
            around = element.closest("p")
            if around is not paragraph and texts:
                yield texts
                texts = []
            paragraph = around
            if around is not None:
                texts.append(element)
    if texts:
        yield texts


def _split(text: str) -> Iterator[Part]:
    """Yield the parts of a text; its spans are source, so they are escaped."""
    for part in split_parts(text):
        yield part if isinstance(part, str) else ProtectedSpan(escape_xml(part.source))


def _split_number(text: str) -> tuple[Part, ...]:
    """Return the parts of the format of a number, such as "Chapter %1"; others are bullets."""
    pieces = _LEVEL.split(text) if "%" in text else []
    parts = (piece if i % 2 == 0 else ProtectedSpan(piece) for i, piece in enumerate(pieces))
    return tuple(part for part in parts if part != "")


def _normalize(format: str) -> str:
    return _IGNORED.sub("", format).replace("<w:rPr></w:rPr>", "").replace("<w:rPr/>", "")


def _with_language(source: str, to: str) -> str:
    """Return a part with the language of its texts replaced.

    Word has three: of East Asian text, of right-to-left text, and of other text.
    """
    base = to.split("-")[0]
    name = "bidi" if is_right_to_left(to) else "eastAsia" if base in _EAST_ASIAN else "val"

    def replace(found: re.Match[str]) -> str:
        value = re.search(rf'\sw:{name}\s*=\s*"([^"]*)"', found[0])
        if value is None or is_tag_of(value[1], to):
            return found[0]
        return found[0][: value.start(1)] + to + found[0][value.end(1) :]

    return _LANGUAGE.sub(replace, source)


def _keep_space(markup: str) -> str:
    """Return markup whose last tag, `<w:t>`, preserves the white space at the ends of its text."""
    found = _TEXT_TAG.search(markup)
    if found is None:
        return markup
    return markup[: found.start()] + set_attribute(found[0], "xml:space", "preserve")


def _reason(token: Token, element: Element | None) -> OutsideText:
    name = "" if element is None else element.tag
    reason = "formula" if name == "m:t" else _REASONS.get(name.rpartition(":")[2], "metadata")
    return OutsideText(token.start, token.end, reason)


def _skeleton(xml: Xml) -> list[tuple[object, ...]]:
    """Return the elements but runs: a translation joins those of equal formatting."""
    return [
        (
            element.tag,
            *(
                item
                for item in element.attributes.items()
                if item[0] not in _TEXT_ATTRIBUTES.get(element.name, ())
            ),
        )
        for element in xml.elements
        if element.name not in _JOINED and not element.is_in("rPr")
    ]
