"""Markdown: the text of its blocks, of directives, of attributes and of front matter."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.markdown.checker import Checker
from llmtool.documents.markdown.inline import without_repeated_labels
from llmtool.documents.markdown.layout import layout_of
from llmtool.documents.markdown.reader import Reader
from llmtool.documents.markdown.source import MarkdownSource
from llmtool.documents.markdown.writer import Writer
from llmtool.documents.types import Dialect, Document, Part, ProtectedSpan, Segment


class Markdown(Document):
    """A Markdown text and its segments.

    Example:
        >>> source = "# Hello\\n\\n- one\\n  more\\n\\n```\\ncode\\n```\\n"
        >>> [segment.text for segment in Markdown(source).segments]
        ['Hello', 'one more']
    """

    has_formulas = True

    def __init__(self, source: str, dialect: Dialect = "auto") -> None:
        super().__init__(source)
        self._parsed = MarkdownSource(source, dialect)
        found = Reader(self._parsed)
        self.segments, self.outside = found.segments, found.outside
        self.sections = tuple(found.sections)
        self._writer = Writer(self._parsed)
        self._checker = Checker(self._parsed, self._writer, found.sections)

    def connect(self, results: Sequence[Sequence[Part]]) -> None:
        """Compute the slugs of the translated headings."""
        output, at = [], 0
        for segment, parts in zip(self.segments, results, strict=True):
            output += [self.source[at : segment.start], self.encode(segment, parts)]
            at = segment.end
        text = "".join([*output, self.source[at:]])
        self._writer.set_headings(self._parsed.parse_output(text)[0])

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        renewed = tuple(
            ProtectedSpan(self._writer.renew(part.source), is_fixed=part.is_fixed)
            if isinstance(part, ProtectedSpan)
            else part
            for part in parts
        )
        layout = layout_of(segment)
        if layout.inner:
            html, inner = layout.inner
            is_same = renewed == segment.parts
            if not is_same:
                renewed = tuple(without_repeated_labels(renewed, self._parsed.collapsed))
            return html.encode(inner, renewed)
        if layout.kind == "anchor":
            return self._writer.write(layout, parts)
        if layout.attribute and renewed == segment.parts:
            self._writer.set_attribute(layout.attribute, None)
            return ""
        return super().encode(segment, renewed)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        layout = layout_of(segment)
        text = self._writer.write(layout, parts)
        if layout.attribute is None:
            return text
        self._writer.set_attribute(layout.attribute, text)
        return ""

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return self._checker.find_fault(segment, parts)

    def compare(self, output: str) -> str | None:
        return self._checker.compare(output)

    def is_same_section(self, start: int, end: int, output: str) -> bool:
        return self._checker.is_same_section(start, end, output)
