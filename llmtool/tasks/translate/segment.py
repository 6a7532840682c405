"""Translate a segment of a document as a whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llmtool.documents.types import Part, ProtectedSpan, split_at_breaks
from llmtool.tasks.translate.placeholders import Placeholders, make_placeholders, merge_parts
from llmtool.text.chunks import CountTokens, split
from llmtool.text.sentences import split_sentences

# Longer segments are split before the first request: small models lose the end of a long one.
MAX_TOKENS = 320
_MAX_CONTEXT = 160  # characters of the text before and after, about 40 tokens of English


class SegmentJob:
    """Parts to translate as a whole or, after a split, by `children`.

    `reason` explains why they were not translated; the result is then the source. `notes` are
    shown to the model with the text, and so are the texts before and after it, `context`, until a
    reply is rejected.
    """

    def __init__(
        self, parts: Sequence[Part], *, notes: Sequence[str] = (), is_sentence: bool = False
    ) -> None:
        self.placeholders: Placeholders = make_placeholders(parts)
        self.parts = tuple(parts)
        own = (part.note for part in parts if isinstance(part, ProtectedSpan) and part.note)
        self._notes = tuple(notes)  # without those of its own breaks
        self.notes = tuple(dict.fromkeys((*notes, *own)))
        self.context: tuple[str, ...] = ()
        self.has_context = True
        self.children: list[SegmentJob] = []
        self.is_sentence = is_sentence
        self.n_attempts = self._n_settled = 0
        self.reason: str | None = None
        self._is_cached = False
        self._result: tuple[Part, ...] | None = None

    @property
    def is_language(self) -> bool:
        """Whether any text outside the protected spans has a letter."""
        return any(map(str.isalpha, self.placeholders.plain))

    @property
    def is_settled(self) -> bool:
        """Whether all pieces are settled."""
        while self._n_settled < len(self.children):
            if not self.children[self._n_settled].is_settled:
                return False
            self._n_settled += 1
        return bool(self.children) or self._result is not None

    @property
    def is_cached(self) -> bool:
        """Whether the translations of all pieces are from the cache."""
        pieces = [child for child in self.children if child.is_language]
        return all(child.is_cached for child in pieces) if pieces else self._is_cached

    @is_cached.setter
    def is_cached(self, value: bool) -> None:
        self._is_cached = value

    @property
    def result(self) -> tuple[Part, ...] | None:
        """The translated parts, None until all pieces are settled."""
        if not self.children:
            return self._result
        if not self.is_settled:
            return None
        joined = [part for child in self.children for part in child.result or ()]
        return self._source_if_equal(joined)

    @property
    def is_rejected(self) -> bool:
        """Whether a piece was not translated."""
        return any(leaf.reason for leaf in self.leaves())

    @property
    def is_translated(self) -> bool:
        """Whether all pieces that are language have accepted translations."""
        return self.is_language and not self.is_rejected

    def set_context(self, before: str, after: str) -> None:
        """Set the context of each piece: the texts before and after it, shortened."""
        leaves = self.leaves()
        texts = [before, *(leaf.placeholders.plain for leaf in leaves), after]
        for leaf, previous, following in zip(leaves, texts, texts[2:], strict=False):
            end = _excerpt(previous[::-1])[::-1]
            notes = ("previous text", end), ("next text", _excerpt(following))
            leaf.context = tuple(
                f"{name} {json.dumps(text, ensure_ascii=False)}" for name, text in notes if text
            )

    def settle(self, parts: Sequence[Part], reason: str | None = None) -> None:
        self._result, self.reason = self._source_if_equal(parts), reason

    def reject(self, reason: str) -> None:
        """Replace the translation by the source."""
        self.children = []
        self.settle(self.parts, reason)

    def split(self, count: CountTokens) -> None:
        """Split at breaks, and if longer than `MAX_TOKENS`, between sentences if possible."""
        runs = split_at_breaks(self.parts)
        if len(runs) > 1:
            self.children = [SegmentJob(run, notes=self._notes) for run in runs]
            for child in self.children:
                if child.is_language:
                    child.split(count)
            return
        text = self.placeholders.text
        if len(text.encode()) <= MAX_TOKENS or count(text) <= MAX_TOKENS:
            return
        pieces = _keep_placeholders_whole(
            split(text, max_tokens=MAX_TOKENS, count=count), self.placeholders
        )
        self._split_into(pieces, are_sentences=False)

    def split_into_sentences(self) -> bool:
        """Split into sentences; return False if there is only one."""
        if self.is_sentence:
            return False
        pieces = _keep_placeholders_whole(
            split_sentences(self.placeholders.text), self.placeholders
        )
        if len(pieces) < 2:
            return False
        self._split_into(pieces, are_sentences=True)
        return True

    def leaves(self) -> list[SegmentJob]:
        """Return the jobs that are translated separately: this one, or those of its pieces."""
        if not self.children:
            return [self]
        return [leaf for child in self.children for leaf in child.leaves()]

    def restore(self, reply: str) -> tuple[Part, ...] | None:
        """Return the parts of a reply with the ends of the source, None if placeholders differ."""
        found = self.placeholders.restore(reply)
        if found is None:
            return None
        return tuple(merge_parts((*self.placeholders.lead, *found, *self.placeholders.trail)))

    def with_candidate(self, leaf: SegmentJob, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Return the parts of the whole segment, with `parts` for one of its leaves."""
        return tuple(
            part
            for each in self.leaves()
            for part in (parts if each is leaf else each.result or each.parts)
        )

    def _source_if_equal(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        joined = merge_parts(parts)
        return self.parts if joined == merge_parts(self.parts) else tuple(joined)

    def _split_into(self, texts: Sequence[str], *, are_sentences: bool) -> None:
        runs = self.placeholders.restore_pieces(texts)
        lead, trail = self.placeholders.lead, self.placeholders.trail
        if lead:
            runs[0] = (*lead, *runs[0])
        if trail:
            runs[-1] = (*runs[-1], *trail)
        self.children = [
            SegmentJob(run, notes=self.notes, is_sentence=are_sentences) for run in runs
        ]


def _excerpt(text: str) -> str:
    """Return the start of a text, up to a space if it is cut."""
    text = " ".join(text[: 2 * _MAX_CONTEXT].split())
    if len(text) <= _MAX_CONTEXT:
        return text
    return text[:_MAX_CONTEXT].rpartition(" ")[0] or text[:_MAX_CONTEXT]


def _keep_placeholders_whole(texts: Sequence[str], placeholders: Placeholders) -> list[str]:
    """Move each split that goes through a placeholder before it, if possible to a space."""
    if not placeholders.protected:
        return list(texts)
    whole: list[str] = []
    rest = ""
    for text in texts:
        text = rest + text
        end = text.rfind(placeholders.opens)
        if end <= text.rfind(placeholders.closes):
            whole.append(text)
            rest = ""
            continue
        end = text.rfind(" ", end // 2, end) + 1 or end
        rest = text[end:]
        if end:
            whole.append(text[:end])
    return [*whole, rest] if rest else whole
