"""Translate one document: request each segment, check the replies, emit the output in order."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.documents.accounting import find_unsupported
from llmtool.documents.protected_spans import find_placeholder_fault
from llmtool.documents.types import Document, Format, Part
from llmtool.engine.types import Prompt
from llmtool.short_repr import short_repr
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.results import UntranslatedSegment
from llmtool.tasks.translate.prompts import TranslationPrompts
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.chunks import CountTokens
from llmtool.text.languages import Language

_MAX_ATTEMPTS = 2  # for a whole segment; each of its sentences gets one more
_OTHER_PART = "another part of the message was not translated"
_Key = tuple[str, tuple[str, ...]]  # the text of a request, and its notes


class TranslationText(msgspec.Struct, frozen=True, kw_only=True):
    """The next text of a translation, and the number of segments that are done."""

    id: int
    text: str
    n_done: int
    n_segments: int

    __repr__ = short_repr("text", "n_done", "n_segments")


class _Target(msgspec.Struct, frozen=True):
    """The target of a step: a job, and the index of its segment in the document."""

    segment_index: int
    job: SegmentJob


class DocumentWorkflow(Workflow[TranslationText]):
    """The translation of one document; its output is emitted up to the first unfinished segment."""

    def __init__(
        self,
        id: int,
        document: Document,
        prompts: TranslationPrompts,
        *,
        format: Format,
        source: Language | None,
        count: CountTokens,
    ) -> None:
        super().__init__(id)
        self.document, self.format, self.source = document, format, source
        self._prompts, self._count = prompts, count
        self.jobs = [SegmentJob(each.parts, notes=each.notes) for each in document.segments]
        self._unsupported = find_unsupported(document)
        self.n_done = self.n_retried = 0
        self.started = time.perf_counter()
        # Each distinct text is requested once, with its notes; equal texts wait for its reply.
        self._waiting: dict[_Key, list[_Target]] = defaultdict(list)
        self._replies: dict[_Key, tuple[Prompt, StepReply]] = {}
        self._source_end = self._n_emitted = 0
        self._is_connected = False
        self.pieces: list[str] = []

    @property
    def is_complete(self) -> bool:
        return self.n_done == len(self.jobs)

    @property
    def text(self) -> str:
        """The source text of all segments."""
        return "\n".join(job.placeholders.plain for job in self.jobs)

    def start(self) -> Iterator[Step]:
        for index, job in enumerate(self.jobs):
            if job.is_language:
                job.split(self._count)
            for leaf in job.leaves():
                yield from self._start_job(_Target(index, leaf))

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        target: _Target = step.target
        key, prompt = _key(target.job), step.request.prompt
        first_reply = self._replies.setdefault(key, (prompt, reply))
        yield from self._evaluate(target, prompt, reply)
        for other in self._waiting.pop(key, ()):
            yield from self._evaluate(other, *first_reply)

    def drain_events(self) -> Iterator[TranslationText]:
        text = self._next_output()
        if text:
            self.pieces.append(text)
            yield TranslationText(
                id=self.id, text=text, n_done=self.n_done, n_segments=len(self.jobs)
            )

    def untranslated(self) -> tuple[UntranslatedSegment, ...]:
        """Return the text in natural language that was not translated, in source order."""
        source = self.document.source
        found = [
            (segment.start, leaf.reason or _OTHER_PART, leaf.placeholders.source)
            for segment, job in zip(self.document.segments, self.jobs, strict=True)
            for leaf in job.leaves()
            if leaf.reason or (segment.is_atomic and job.is_rejected and leaf.is_language)
        ]
        found += [
            (each.start, each.reason, source[each.start : each.end]) for each in self._unsupported
        ]
        line, at, untranslated = 1, 0, []
        for start, reason, text in sorted(found, key=lambda each: each[0]):
            line, at = line + source.count("\n", at, start), start
            untranslated.append(UntranslatedSegment(line=line, reason=reason, text=text))
        return tuple(untranslated)

    @property
    def n_segments(self) -> int:
        """The number of segments, including text outside of them that is natural language."""
        return len(self.jobs) + len(self._unsupported)

    def _start_job(self, target: _Target) -> Iterator[Step]:
        key = _key(target.job)
        if not target.job.is_language:
            self._settle(target, target.job.parts)
        elif key in self._replies:
            yield from self._evaluate(target, *self._replies[key])
        elif key in self._waiting:
            self._waiting[key].append(target)
        else:
            self._waiting[key] = []
            yield self._step(target, is_retry=False)

    def _step(self, target: _Target, *, is_retry: bool) -> Step:
        request = self._prompts.request(target.job, source=self.source, is_retry=is_retry)
        return Step(request=request, target=target)

    def _evaluate(self, target: _Target, prompt: Prompt, reply: StepReply) -> Iterator[Step]:
        """Accept a reply, or retry: with a constraint, then sentence by sentence."""
        job, root = target.job, self.jobs[target.segment_index]
        job.n_attempts += 1
        text, fault = self._prompts.check(job, prompt, reply)
        parts = job.restore(text)
        if fault is None and parts is None:
            fault = "drops or repeats code, a link, a tag or a placeholder"
        if fault is None and parts is not None:
            segment = self.document.segments[target.segment_index]
            fault = find_placeholder_fault(job.parts, parts) or self.document.find_fault(
                segment, root.with_candidate(job, parts)
            )
        if fault is None and parts is not None:
            self._settle(target, parts)
        elif job.n_attempts < _MAX_ATTEMPTS and not job.is_sentence:
            self.n_retried += 1
            yield self._step(target, is_retry=True)
        elif job.split_into_sentences():
            for child in job.children:
                sentence = _Target(target.segment_index, child)
                if child.is_language:
                    yield self._step(sentence, is_retry=True)
                else:
                    self._settle(sentence, child.parts)
        else:
            self._settle(target, job.parts, f"the reply {fault}")

    def _settle(self, target: _Target, parts: Sequence[Part], reason: str | None = None) -> None:
        target.job.settle(parts, reason)
        if self.jobs[target.segment_index].result is not None:
            self.n_done += 1

    def _next_output(self) -> str:
        """Return the output that was completed since the last call."""
        source, segments = self.document.source, self.document.segments
        pieces = []
        while self._n_emitted < len(segments):
            segment, result = segments[self._n_emitted], self._result(self._n_emitted)
            if result is None or (segment.waits and not self._connect()):
                break
            pieces.append(source[self._source_end : segment.start])
            pieces.append(self.document.encode(segment, result))
            self._source_end, self._n_emitted = segment.end, self._n_emitted + 1
        if self._n_emitted == len(segments):
            pieces.append(source[self._source_end :])
            self._source_end = len(source)
        return "".join(pieces)

    def _result(self, index: int) -> Sequence[Part] | None:
        """Return the parts of a segment in the output, None until they are known."""
        segment, job = self.document.segments[index], self.jobs[index]
        return segment.parts if segment.is_atomic and job.is_rejected else job.result

    def _connect(self) -> bool:
        """Pass all results to the document, once they are complete."""
        results = [self._result(index) for index in range(len(self.jobs))]
        if not self._is_connected and all(result is not None for result in results):
            self.document.connect([result for result in results if result is not None])
            self._is_connected = True
        return self._is_connected


def _key(job: SegmentJob) -> _Key:
    return job.placeholders.text, job.notes
