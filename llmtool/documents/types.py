"""What a format's reader returns: the source, the spans in it that are language, and their law.

A document is never written anew. A translation takes the place of a span, and every character
between the spans stays as it was, so that a document without a translation is its own source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Format = Literal["txt", "md", "html", "srt", "vtt", "po", "json"]


class ProtectedSpan(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A piece of a segment that no translation may change: `source` as it stands in the document.

    Code, a link's target, a tag, a placeholder. One that is fixed stays at its end of the segment:
    the box of a task, the name of a note, tags around a subtitle.
    """

    source: str
    is_fixed: bool = False


Part = str | ProtectedSpan


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A passage to translate: what stands from `start` to `end` of the source, in characters.

    `parts` are its text, as a reader sees it, and what has to stay in it. `before` says where it
    stands: the headings above it, the key of a value, a message's context. `n_lines` is the number
    of lines that a translation must have, None where any will do; lines are parted by a newline.
    """

    start: int
    end: int
    parts: tuple[Part, ...]
    before: tuple[str, ...] = ()
    n_lines: int | None = None

    @property
    def text(self) -> str:
        """The text alone, as for telling its language."""
        return "".join(part if isinstance(part, str) else " " for part in self.parts)

    @property
    def source(self) -> str:
        """The text with what stays in it."""
        return "".join(part if isinstance(part, str) else part.source for part in self.parts)


class Document(Protocol):
    """A source that was parsed; `segments` are in its order and do not overlap."""

    @property
    def source(self) -> str: ...

    @property
    def segments(self) -> Sequence[Segment]: ...

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        """Return what takes the place of a segment, escaped as its format wants it.

        The parts of the segment itself give back its span of the source.
        """
        ...

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Return why these parts would change the structure around a segment, None if they do not.

        The caller checks protected spans; this checks for text that would become markup.
        """
        ...

    def compare(self, output: str) -> str | None:
        """Return in what the structure of a whole output differs from the source's, or None."""
        ...
