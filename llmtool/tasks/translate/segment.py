"""A segment of a document, translated as a whole or in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.types import Part
from llmtool.tasks.translate.placeholders import Placeholders, make_placeholders, merged
from llmtool.text.chunks import CountTokens, split, split_sentences

# Longer segments are split before the first request: small models lose the end of a long one.
MAX_TOKENS = 320


class SegmentJob:
    """A run of parts to translate: as a whole, or by its `children` after it was split.

    `reason` says why its result is its source, if it could not be translated.
    """

    def __init__(self, parts: Sequence[Part], *, is_sentence: bool = False) -> None:
        self.placeholders: Placeholders = make_placeholders(parts)
        self.parts = tuple(parts)
        self.children: list[SegmentJob] = []
        self.is_sentence = is_sentence
        self.n_attempts = 0
        self.reason: str | None = None
        self._result: tuple[Part, ...] | None = None

    @property
    def is_language(self) -> bool:
        """Whether there is anything to translate: a letter outside of the protected spans."""
        return any(map(str.isalpha, self.placeholders.plain))

    @property
    def result(self) -> tuple[Part, ...] | None:
        """The parts that replace these; None until all pieces are settled."""
        if not self.children:
            return self._result
        joined: list[Part] = []
        for child in self.children:
            result = child.result
            if result is None:
                return None
            joined += result
        return self._unless_same(joined)

    def settle(self, parts: Sequence[Part], reason: str | None = None) -> None:
        self._result, self.reason = self._unless_same(parts), reason

    def split(self, count: CountTokens) -> None:
        """Split a segment that is too long, between sentences where possible."""
        text = self.placeholders.text
        if len(text.encode()) <= MAX_TOKENS or count(text) <= MAX_TOKENS:
            return
        pieces = _whole_placeholders(
            split(text, max_tokens=MAX_TOKENS, count=count), self.placeholders
        )
        self._split_into(pieces, are_sentences=False)

    def split_into_sentences(self) -> bool:
        """Split into sentences; return False if there is only one."""
        if self.is_sentence:
            return False
        pieces = _whole_placeholders(split_sentences(self.placeholders.text), self.placeholders)
        if len(pieces) < 2:
            return False
        self._split_into(pieces, are_sentences=True)
        return True

    def leaves(self) -> list[SegmentJob]:
        """Return the jobs that are translated on their own: this one, or those of its pieces."""
        if not self.children:
            return [self]
        return [leaf for child in self.children for leaf in child.leaves()]

    def read(self, reply: str) -> tuple[Part, ...] | None:
        """Return the parts of a reply, with the ends of the source; None if placeholders differ."""
        found = self.placeholders.read(reply)
        if found is None:
            return None
        return tuple(merged((*self.placeholders.lead, *found, *self.placeholders.trail)))

    def with_candidate(self, leaf: SegmentJob, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Return the parts of the whole segment, with `parts` in the place of a leaf."""
        return tuple(
            part
            for each in self.leaves()
            for part in (parts if each is leaf else each.result or each.parts)
        )

    def _unless_same(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        joined = merged(parts)
        return self.parts if joined == merged(self.parts) else tuple(joined)

    def _split_into(self, texts: Sequence[str], *, are_sentences: bool) -> None:
        runs = self.placeholders.cut(texts)
        lead, trail = self.placeholders.lead, self.placeholders.trail
        if lead:
            runs[0] = (*lead, *runs[0])
        if trail:
            runs[-1] = (*runs[-1], *trail)
        self.children = [SegmentJob(run, is_sentence=are_sentences) for run in runs]


def _whole_placeholders(texts: Sequence[str], placeholders: Placeholders) -> list[str]:
    """Join pieces of a text that a placeholder was split over."""
    whole: list[str] = []
    is_open = False
    for text in texts:
        if is_open:
            whole[-1] += text
        else:
            whole.append(text)
        is_open = bool(placeholders.protected) and whole[-1].rfind(placeholders.opens) > whole[
            -1
        ].rfind(placeholders.closes)
    return whole
