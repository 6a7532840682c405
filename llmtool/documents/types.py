"""The interface of document formats: a parsed source and its segments.

A document is never regenerated. A translation replaces the span of a segment, and every character
between segments is copied, so that a document without translations equals its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from llmtool.file_kinds import Dialect as Dialect
from llmtool.file_kinds import Format as Format

# How translations are marked as those of a machine.
Mark = Literal["fuzzy", "comment"]


class ProtectedSpan(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Part of a segment that a translation must not change, such as code, a link target or a tag.

    `source` is its exact text in the document. A fixed span stays at its end of the segment: a task
    checkbox, a footnote label, the tags around a subtitle. The texts before and after a break are
    translated separately: the bar between plural forms, the syntax of an ICU message. `note`
    describes the text after a break, as in `Segment.notes`.
    """

    source: str
    is_fixed: bool = False
    is_break: bool = False
    note: str = ""


Part = str | ProtectedSpan


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The unit of translation, from `start` to `end` of the source, in characters.

    `parts` are its unescaped text and its protected spans. `context` locates it: the path of keys
    to a JSON value, the attribute of an HTML tag, the msgctxt of a message. `key` identifies a
    message in other versions of its file; several segments may have the same. `notes` are shown to
    the model: the msgctxt, comments and neighbours of a message. Equal texts with different notes
    are translated separately. An atomic segment is translated as a whole or remains unchanged.

    A segment without width is the text of an attribute in a protected span of the next segment. The
    replacement of a segment that `waits` depends on other segments, such as a link to a heading.
    """

    start: int
    end: int
    parts: tuple[Part, ...]
    context: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_atomic: bool = False
    waits: bool = False

    @property
    def text(self) -> str:
        """The text with a space in place of each protected span, as for language detection."""
        return "".join(part if isinstance(part, str) else " " for part in self.parts)

    @property
    def source(self) -> str:
        """The text with its protected spans."""
        return join_parts(self.parts)


class OutsideText(msgspec.Struct, frozen=True, gc=False):
    """Text outside of the segments, from `start` to `end` of the source, in characters.

    It is not translated for a `reason`: it is not natural language ("code", "key", "link target"),
    or, if `is_language`, the format does not support it ("plural forms of ICU messages").
    """

    start: int
    end: int
    reason: str
    is_language: bool = False


class Document:
    """A parsed source; a format derives from this class.

    `segments`, which the format sets, are in source order and do not overlap. `outside` is the rest
    of the text, and every letter is in one of them (`find_unaccounted`). It is None in formats that
    do not account for their text. `sections` are the positions between blocks that are checked on
    their own (`is_same_section`), in formats that allow it.
    """

    segments: tuple[Segment, ...]
    sections: Sequence[int] = ()
    outside: tuple[OutsideText, ...] | None = None

    # The source texts remain in the output, so a translation is also written if it equals its text.
    has_targets = False
    language = ""  # of the translations that it has, as it names it
    # In Markdown, `$x$` is a formula, and in other formats a placeholder.
    has_formulas = False

    def __init__(self, source: str) -> None:
        self.source = source
        self._newline = "\r\n" if "\r\n" in source else "\n"

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        """Return the replacement for a segment, escaped for the format.

        Segments are encoded in order.
        """
        if tuple(parts) == segment.parts:
            return self.source[segment.start : segment.end]
        return self._encode(segment, parts)

    def encode_translation(self, segment: Segment, parts: Sequence[Part]) -> str:
        """Return the replacement for a segment that is translated, if only with the same words."""
        return (self._encode if self.has_targets else self.encode)(segment, parts)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        raise NotImplementedError

    def translations(self) -> Mapping[tuple[str, ...], Sequence[Part]] | None:
        """Return the translations in a file that also has their sources, by the key of segments.

        The key then contains the source. None means that the file has texts of one language.
        """
        return None

    def connect(self, results: Sequence[Sequence[Part]]) -> None:
        """Receive the parts of all segments, before the first one that `waits` is encoded."""

    def escape(self, text: str) -> str:
        """Return the source of a protected span for a text."""
        return text

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Return how the parts would change the structure around a segment, or None.

        Text that would become markup is a fault. The caller checks that no protected span is lost.
        """
        return None

    def compare(self, output: str) -> str | None:
        """Return the first structural difference between the source and an output, or None."""
        return None

    def is_same_section(self, start: int, end: int, output: str) -> bool:
        """Return whether the source between two `sections` and its output have the same structure.

        It may be False although `compare` finds no difference: if a section depends on others.
        """
        return False


def find_unaccounted(document: Document) -> list[tuple[int, int]]:
    """Return the ranges with letters that are in no segment and no `OutsideText` of a document.

    Example:
        >>> document = Document("key = Hello")
        >>> document.segments = (Segment(start=6, end=11, parts=("Hello",)),)
        >>> document.outside = ()
        >>> find_unaccounted(document)
        [(0, 6)]
        >>> document.outside = (OutsideText(0, 3, "key"),)
        >>> find_unaccounted(document)
        []
    """
    if document.outside is None:
        return []
    found, at = [], 0
    spans = [(segment.start, segment.end) for segment in document.segments]
    spans += [(each.start, each.end) for each in document.outside]
    for start, end in [*sorted(spans), (len(document.source), len(document.source))]:
        if any(map(str.isalpha, document.source[at:start])):
            found.append((at, start))
        at = max(at, end)
    return found


def make_break(source: str, note: str = "") -> ProtectedSpan:
    """Return a span that separates texts which are translated separately."""
    return ProtectedSpan(source, is_fixed=True, is_break=True, note=note)


def split_at_breaks(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Split parts before each break.

    Example:
        >>> len(split_at_breaks(["one ", make_break("| "), "many"]))
        2
    """
    runs: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, ProtectedSpan) and part.is_break and runs[-1]:
            runs.append([])
        runs[-1].append(part)
    return [tuple(run) for run in runs]


def join_parts(parts: Sequence[Part]) -> str:
    """Return the parts as one string, protected spans included."""
    return "".join(part if isinstance(part, str) else part.source for part in parts)


def is_blank(parts: Sequence[Part]) -> bool:
    """Return whether parts have neither text nor protected spans."""
    return all(isinstance(part, str) and not part.strip() for part in parts)


def has_letters(parts: Sequence[Part]) -> bool:
    """Return whether any text outside the protected spans has a letter."""
    return any(isinstance(part, str) and any(map(str.isalpha, part)) for part in parts)
