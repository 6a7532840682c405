"""A part of a Word document: its main text, a header, notes, a diagram or a chart.

A segment is a paragraph, without what surrounds its text. Changes of the formatting in it, tabs,
links and other elements are protected spans, which keep their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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
_ALT_TEXT = re.compile(r'\bdescr\s*=\s*"([^"]*)"')
_REASONS = {"instrText": "field code", "delText": "deleted text"}
_TEXTS = ("w:t", "a:t")
_LANGUAGE = re.compile(r"<w:lang\b[^<>]*>")
_EAST_ASIAN = ("ja", "ko", "zh", "yue")
_JOINED = frozenset(("r", "t", "rPr", "proofErr", "lastRenderedPageBreak"))


class WordPart(Document):
    """A part of a Word document; `to` is the code of the target language, which its texts declare.

    Raises:
        InputError: it is not well-formed XML.

    Example:
        >>> source = "<w:p><w:r><w:t>Good </w:t></w:r><w:r><w:t>morning</w:t></w:r></w:p>"
        >>> WordPart(source.replace("<w:p>", "<w:p xmlns:w='x'>")).segments[0].parts
        ('Good morning',)
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        super().__init__(source if to is None else _with_language(source, to))
        self._xml = Xml(self.source)
        self._alt_texts: set[int] = set()  # the starts of segments
        found = [*self._paragraphs(), *self._attributes()]
        self.segments = tuple(sorted(found, key=lambda segment: segment.start))
        self.outside = self._xml.outside(self.segments, _reason)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if segment.start in self._alt_texts:
            return "".join(
                escape_xml(part if isinstance(part, str) else part.source, quotes=True)
                for part in parts
            )
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

    def _attributes(self) -> Iterator[Segment]:
        """Yield the alternative texts of images."""
        for element in self._xml.find("docPr"):
            token = self._xml.tokens[element.first]
            found = _ALT_TEXT.search(self.source[token.start : token.end])
            if found is None:
                continue
            parts = split_parts(unescape_xml(found[1]))
            if has_letters(parts):
                start = token.start + found.start(1)
                self._alt_texts.add(start)
                yield Segment(start=start, end=start + len(found[1]), parts=parts)


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
        (element.tag, *(item for item in element.attributes.items() if item[0] != "descr"))
        for element in xml.elements
        if element.name not in _JOINED and not element.is_in("rPr")
    ]
