"""A passage on its way: asked for, asked once more, sentence by sentence, or kept as it was."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.documents.types import Part
from llmtool.engine.types import Prompt
from llmtool.tasks.translate.placeholders import Placeholders, mark, merged
from llmtool.text.chunks import CountTokens, split, split_sentences

# Longer passages are taken apart from the start: small models lose the end of a long one.
MAX_TOKENS = 320


class SegmentJob:
    """A run of parts, and what has become of it.

    The root of a passage is asked for as a whole, or consists of works for its pieces. `result` are
    the parts that stand in its place at last, `reason` why they are the source's own.
    """

    def __init__(
        self, parts: Sequence[Part], *, parent: SegmentJob | None = None, is_sentence: bool = False
    ) -> None:
        self.marked: Placeholders = mark(parts)
        self.parts = tuple(parts)
        self.parent = parent
        self.children: list[SegmentJob] = []
        self.is_sentence = is_sentence
        self.tries = 0
        self.asked: Prompt | None = None
        self.result: tuple[Part, ...] | None = None
        self.reason: str | None = None

    @property
    def is_language(self) -> bool:
        """Whether there is anything to translate: a letter outside of the masks."""
        return any(map(str.isalpha, self.marked.plain))

    @property
    def root(self) -> SegmentJob:
        return self if self.parent is None else self.parent.root

    def divide(self, count: CountTokens) -> None:
        """Take a passage that is too long apart, between sentences where it has some."""
        text = self.marked.text
        if len(text.encode()) <= MAX_TOKENS or count(text) <= MAX_TOKENS:
            return
        pieces = _whole_marks(split(text, max_tokens=MAX_TOKENS, count=count), self.marked)
        self._take_apart(pieces, is_sentence=False)

    def divide_into_sentences(self) -> bool:
        """Take it apart into sentences; False if it is one."""
        if self.is_sentence:
            return False
        pieces = _whole_marks(split_sentences(self.marked.text), self.marked)
        if len(pieces) < 2:
            return False
        self._take_apart(pieces, is_sentence=True)
        return True

    def leaves(self) -> list[SegmentJob]:
        """Return the works that it consists of at present: itself, or those of its pieces."""
        if not self.children:
            return [self]
        return [leaf for child in self.children for leaf in child.leaves()]

    def read(self, reply: str) -> tuple[Part, ...] | None:
        """Return the parts of a reply with the ends of the source; None for lost marks."""
        found = self.marked.read(reply)
        if found is None:
            return None
        m = self.marked
        return tuple(merged((*m.lead, *found, *m.trail)))

    def with_candidate(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Return the whole passage as it would be with these parts in this place."""
        return tuple(
            part
            for leaf in self.root.leaves()
            for part in (parts if leaf is self else leaf.result or leaf.parts)
        )

    def settle(self, parts: Sequence[Part], reason: str | None = None) -> bool:
        """Take a result; returns whether the whole passage has one now."""
        is_same = merged(parts) == merged(self.parts)
        self.result = self.parts if is_same else tuple(merged(parts))
        self.reason = reason
        parent = self.parent
        if parent is None:
            return True
        if any(child.result is None for child in parent.children):
            return False
        joined = [part for child in parent.children for part in child.result or ()]
        kept = [child.reason for child in parent.children if child.reason]
        return parent.settle(joined, kept[0] if kept else None)

    def _take_apart(self, texts: Sequence[str], *, is_sentence: bool) -> None:
        runs = self.marked.cut(texts)
        lead, trail = self.marked.lead, self.marked.trail
        if lead:
            runs[0] = (*lead, *runs[0])
        if trail:
            runs[-1] = (*runs[-1], *trail)
        self.children = [SegmentJob(run, parent=self, is_sentence=is_sentence) for run in runs]


def _whole_marks(texts: Sequence[str], marked: Placeholders) -> list[str]:
    """Return pieces of a text that no mark is cut by."""
    whole: list[str] = []
    is_open = False
    for text in texts:
        if is_open:
            whole[-1] += text
        else:
            whole.append(text)
        is_open = bool(marked.masks) and whole[-1].rfind(marked.opens) > whole[-1].rfind(
            marked.closes
        )
    return whole
