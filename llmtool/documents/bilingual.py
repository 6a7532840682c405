"""Print each segment of a document together with its translation."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.types import Document, Part, Segment


class BilingualDocument:
    """A document whose segments remain, each followed by its translation on the next line."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.source, self.segments = document.source, document.segments
        self._newline = "\r\n" if "\r\n" in document.source else "\n"

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
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

    def compare(self, output: str) -> str | None:
        """Return None: the source is unchanged, and the added lines differ from it by design."""
        return None
