"""Print each segment of a document together with its translation."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.types import Document, Part, Segment


class BilingualDocument(Document):
    """A document whose segments remain, each followed by its translation on the next line."""

    def __init__(self, document: Document) -> None:
        super().__init__(document.source)
        self._document = document
        self.segments, self.outside = document.segments, document.outside

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        original = self.source[segment.start : segment.end]
        translation = self._document.encode(segment, parts)
        if translation == original:
            return original
        line_start = self.source.rfind("\n", 0, segment.start) + 1
        before = self.source[line_start : segment.start]
        indent = before if not before.strip() else ""
        return f"{original}{self._newline}{indent}{translation}"

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return self._document.find_fault(segment, parts)
