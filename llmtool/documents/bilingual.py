"""A document in which every passage is followed by its translation."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.types import Document, Part, Segment


class Bilingual:
    """A document whose passages stay, each with its translation on the lines below it."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.source, self.segments = document.source, document.segments
        self._newline = "\r\n" if "\r\n" in document.source else "\n"

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        original = self.source[segment.start : segment.end]
        written = self._document.encode(segment, parts)
        if written == original:
            return original
        line_start = self.source.rfind("\n", 0, segment.start) + 1
        before = self.source[line_start : segment.start]
        indent = before if not before.strip() else ""
        return f"{original}{self._newline}{indent}{written}"

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return self._document.find_fault(segment, parts)

    def compare(self, output: str) -> str | None:
        """Nothing to compare: lines were added, and none was changed."""
        return None
