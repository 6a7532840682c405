"""Documents under way: what is asked for each, and how far each can be told."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.documents.types import Document, Format, Part
from llmtool.engine.types import FinishReason, Usage
from llmtool.errors import LlmtoolError
from llmtool.tasks.results import KeptPassage
from llmtool.tasks.translating.work import Work
from llmtool.text.chunks import CountTokens
from llmtool.text.languages import Language


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """The next piece of an output, and how many of the document's passages are done."""

    id: int
    text: str
    n_done: int
    n_segments: int


class DocumentWork:
    """One document: its passages as works, and its output as far as it is known."""

    def __init__(
        self, id: int, document: Document, *, format: Format, source: Language | None
    ) -> None:
        self.id, self.document, self.format, self.source = id, document, format, source
        self.error: LlmtoolError | None = None
        self.works = [Work(segment.parts) for segment in document.segments]
        self.index = {work: i for i, work in enumerate(self.works)}
        self.n_done = self.n_retried = 0
        self.usage = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0)
        self.started = time.perf_counter()
        # The same text is asked for once; the others wait for its reply.
        self.waiting: dict[str, list[Work]] = defaultdict(list)
        self.replies: dict[str, tuple[str, FinishReason]] = {}
        self._at = self._next = 0
        self.written: list[str] = []

    @property
    def is_complete(self) -> bool:
        return self.error is not None or self.n_done == len(self.works)

    def leaves(self, count: CountTokens) -> Iterator[Work]:
        """Yield what there is to ask; passages without a letter are settled."""
        for work in self.works:
            if work.is_language:
                work.divide(count)
            for leaf in work.leaves():
                if leaf.is_language:
                    yield leaf
                else:
                    self.settle(leaf, leaf.parts)

    def settle(self, work: Work, parts: Sequence[Part], reason: str | None = None) -> None:
        if work.settle(parts, reason):
            self.n_done += 1

    def find_fault(self, work: Work, parts: Sequence[Part]) -> str | None:
        """Return what a translation would break where it stands."""
        segment = self.document.segments[self.index[work.root]]
        return self.document.find_fault(segment, work.with_candidate(parts))

    @property
    def text(self) -> str:
        """The text of all passages."""
        return "\n".join(work.marked.plain for work in self.works)

    def take_output(self) -> str:
        """Return what of the output has become known."""
        source, segments = self.document.source, self.document.segments
        pieces = []
        while self._next < len(segments) and self.works[self._next].result is not None:
            segment, result = segments[self._next], self.works[self._next].result
            pieces.append(source[self._at : segment.start])
            pieces.append(self.document.encode(segment, result or ()))
            self._at, self._next = segment.end, self._next + 1
        if self._next == len(segments):
            pieces.append(source[self._at :])
            self._at = len(source)
        text = "".join(pieces)
        if text:
            self.written.append(text)
        return text

    def kept(self) -> tuple[KeptPassage, ...]:
        source = self.document.source
        return tuple(
            KeptPassage(
                line=source.count("\n", 0, self.document.segments[index].start) + 1,
                reason=leaf.reason,
                text=leaf.marked.plain,
            )
            for index, work in enumerate(self.works)
            for leaf in work.leaves()
            if leaf.reason
        )
