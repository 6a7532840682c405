"""Replace the segments of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmtool.documents.types import Document, Part


def rewrite(document: Document, translations: Mapping[int, Sequence[Part]]) -> str:
    """Return the source with some segments replaced, by index."""
    results = [translations.get(i, segment.parts) for i, segment in enumerate(document.segments)]
    if any(segment.waits for segment in document.segments):
        document.connect(results)
    output, at = [], 0
    for segment, parts in zip(document.segments, results, strict=True):
        output.append(document.source[at : segment.start])
        output.append(document.encode(segment, parts))
        at = segment.end
    output.append(document.source[at:])
    return "".join(output)
