"""Documents under way: what is asked of each passage, how it is judged, how far it can be told."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from llmtool.documents.json_values import JsonValues
from llmtool.documents.placeholders import find_placeholder_fault
from llmtool.documents.types import Document, Format, Part, Segment
from llmtool.engine.types import FinishReason, Request
from llmtool.tasks.pipeline.workflow import Call, Reply, Work
from llmtool.tasks.results import KeptPassage
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.chunks import CountTokens
from llmtool.text.languages import Language

_TRIES = 2  # of a passage as a whole; a sentence of one has one more


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """The next piece of an output, and how many of the document's passages are done."""

    id: int
    text: str
    n_done: int
    n_segments: int


class Asking(Protocol):
    """How a passage is put to the model, and what a reply to it must be."""

    def ask(self, document: DocumentWork, work: SegmentJob, *, is_again: bool) -> Request: ...

    def find_fault(
        self, work: SegmentJob, reply: str, finish_reason: FinishReason
    ) -> tuple[str, str | None]:
        """Return the reply, tidied, and what is wrong with it."""
        ...


class DocumentWork(Work[Passage]):
    """One document: its passages as works, and its output as far as it is known."""

    def __init__(
        self,
        id: int,
        document: Document,
        asking: Asking,
        *,
        format: Format,
        source: Language | None,
        count: CountTokens,
    ) -> None:
        super().__init__(id)
        self.document, self.format, self.source = document, format, source
        self._asking, self._count = asking, count
        self.works = [SegmentJob(segment.parts) for segment in document.segments]
        self._index = {work: i for i, work in enumerate(self.works)}
        self.n_done = self.n_retried = 0
        self.started = time.perf_counter()
        # The same text is asked for once; the others wait for its reply.
        self._waiting: dict[str, list[SegmentJob]] = defaultdict(list)
        self._replies: dict[str, Reply] = {}
        self._at = self._next = 0
        self.written: list[str] = []

    @property
    def is_complete(self) -> bool:
        return self.n_done == len(self.works)

    @property
    def text(self) -> str:
        """The text of all passages."""
        return "\n".join(work.marked.plain for work in self.works)

    def begin(self) -> Iterator[Call]:
        for work in self.works:
            if work.is_language:
                work.divide(self._count)
            for leaf in work.leaves():
                yield from self._begin(leaf)

    def take(self, call: Call, reply: Reply) -> Iterator[Call]:
        work: SegmentJob = call.about
        text = work.marked.text
        self._replies.setdefault(text, reply)
        yield from self._judge(work, reply)
        for other in self._waiting.pop(text, ()):
            other.asked = work.asked
            yield from self._judge(other, self._replies[text])

    def news(self) -> Iterator[Passage]:
        text = self._take_output()
        if text:
            self.written.append(text)
            yield Passage(id=self.id, text=text, n_done=self.n_done, n_segments=len(self.works))

    def kept(self) -> tuple[KeptPassage, ...]:
        """What stayed in its language, and why: by its faults, or left alone by the reader."""
        found = [
            (segment, leaf.reason, leaf.marked.source)
            for segment, work in zip(self.document.segments, self.works, strict=True)
            for leaf in work.leaves()
            if leaf.reason
        ]
        found += [
            (segment, "has plurals or choices of ICU", segment.source)
            for segment in self._left_alone
        ]
        source = self.document.source
        return tuple(
            KeptPassage(line=source.count("\n", 0, segment.start) + 1, reason=reason, text=text)
            for segment, reason, text in sorted(found, key=lambda each: each[0].start)
        )

    @property
    def n_passages(self) -> int:
        """How many there are, with those that no model is asked about."""
        return len(self.works) + len(self._left_alone)

    @property
    def _left_alone(self) -> tuple[Segment, ...]:
        return self.document.left_alone if isinstance(self.document, JsonValues) else ()

    def _begin(self, work: SegmentJob) -> Iterator[Call]:
        text = work.marked.text
        if not work.is_language:
            self._settle(work, work.parts)
        elif text in self._replies:
            yield from self._judge(work, self._replies[text])
        elif text in self._waiting:
            self._waiting[text].append(work)
        else:
            self._waiting[text] = []
            yield self._ask(work, is_again=False)

    def _ask(self, work: SegmentJob, *, is_again: bool) -> Call:
        request = self._asking.ask(self, work, is_again=is_again)
        work.asked = request.prompt
        return Call(request=request, about=work)

    def _judge(self, work: SegmentJob, reply: Reply) -> Iterator[Call]:
        """Settle a passage by a reply, or ask again: held to its marks, then by its sentences."""
        work.tries += 1
        text, fault = self._asking.find_fault(work, reply.text, reply.finish_reason)
        parts = work.read(text)
        if fault is None and parts is None:
            fault = "lost what must stay: code, a link, a tag or a placeholder"
        if fault is None and parts is not None:
            segment = self.document.segments[self._index[work.root]]
            fault = find_placeholder_fault(work.parts, parts) or self.document.find_fault(
                segment, work.with_candidate(parts)
            )
        if fault is None and parts is not None:
            self._settle(work, parts)
        elif work.tries < _TRIES and not work.is_sentence:
            self.n_retried += 1
            yield self._ask(work, is_again=True)
        elif work.divide_into_sentences():
            for child in work.children:
                if child.is_language:
                    yield self._ask(child, is_again=True)
                else:
                    self._settle(child, child.parts)
        else:
            self._settle(work, work.parts, fault)

    def _settle(self, work: SegmentJob, parts: Sequence[Part], reason: str | None = None) -> None:
        if work.settle(parts, reason):
            self.n_done += 1

    def _take_output(self) -> str:
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
        return "".join(pieces)
