"""Replace the segments of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmtool.documents.types import Document, Part


def rewrite(document: Document, translations: Mapping[int, Sequence[Part]]) -> str:
    """Return the source with some segments replaced, by index."""
    output, at = [], 0
    for index, segment in enumerate(document.segments):
        if index not in translations:
            continue
        output.append(document.source[at : segment.start])
        output.append(document.encode(segment, translations[index]))
        at = segment.end
    output.append(document.source[at:])
    return "".join(output)
