"""A document with new texts in the places of its segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmtool.documents.types import Document, Part


def rewrite(document: Document, translations: Mapping[int, Sequence[Part]]) -> str:
    """Return the source with translations, by the index of their segment, in their places."""
    written, at = [], 0
    for index, segment in enumerate(document.segments):
        if index not in translations:
            continue
        written.append(document.source[at : segment.start])
        written.append(document.encode(segment, translations[index]))
        at = segment.end
    written.append(document.source[at:])
    return "".join(written)
