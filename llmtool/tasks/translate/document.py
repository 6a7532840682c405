"""Translate one document: request each segment, check the replies, emit the output in order."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from llmtool.documents.accounting import find_unsupported
from llmtool.documents.protected_spans import find_placeholder_fault, has_icu_syntax
from llmtool.documents.types import Document, Format, Part
from llmtool.engine.types import Prompt, Request
from llmtool.errors import ContextOverflow, InputError, LlmtoolError, NoResult
from llmtool.short_repr import short_repr
from llmtool.tasks.pipeline.duplicates import is_determined
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.results import UntranslatedSegment
from llmtool.tasks.translate.prompts import TranslationPrompts
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.chunks import CountTokens
from llmtool.text.languages import Language

# Formats of text whose segments follow each other; those of catalogs have notes of their own.
_WITH_CONTEXT = ("txt", "md", "html", "rst", "srt", "vtt", "ass", "docx", "epub")
# The whole output is checked as often as the characters of all checks add up to less than this, and
# while checks take less than this share of the time.
_CHECKED_CHARACTERS = 500_000
_CHECKED_SHARE = 0.05
_MAX_REPAIR_CHARACTERS = 50_000_000  # checked to find translations that change the structure
_MAX_PIECES = 16  # of a segment whose structure is checked as a whole after each reply
_MAX_ATTEMPTS = 2  # for a whole segment; each of its sentences gets one more
_OTHER_PART = "another part of the message was not translated"
_ICU_SYNTAX = "the syntax of the ICU message is not supported"
_Key = tuple[str, tuple[str, ...]]  # the text of a request, and its notes


class TranslationText(msgspec.Struct, frozen=True, kw_only=True):
    """The next text of a translation, and the number of segments that are done."""

    id: int
    text: str
    n_done: int
    n_segments: int

    __repr__ = short_repr("text", "n_done", "n_segments")

    def __str__(self) -> str:
        return self.text


class _Target(msgspec.Struct, frozen=True):
    """The target of a step: a job, and the index of its segment in the document."""

    segment_index: int
    job: SegmentJob


class _Answer(msgspec.Struct, frozen=True):
    """A reply, its prompt, and whether it is from the cache."""

    prompt: Prompt
    reply: StepReply
    is_cached: bool = False


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
        cache: ReplyCache,
        kept: Mapping[int, tuple[Part, ...]] | None = None,
        bom: str = "",
        has_context: bool = False,
        parse_seconds: float = 0.0,
    ) -> None:
        super().__init__(id)
        self._has_context = has_context and format in _WITH_CONTEXT
        self._kept = kept or {}  # parts of an earlier translation, by segment
        self.bom = bom  # the byte order mark before the output
        self.document, self.format, self.source = document, format, source
        self._prompts, self._count, self._cache = prompts, count, cache
        self.jobs = [SegmentJob(each.parts, notes=each.notes) for each in document.segments]
        self._unsupported = find_unsupported(document)
        self.n_done = self.n_retried = 0
        self.started = time.perf_counter()
        # Each distinct text is requested once, with its notes; equal texts wait for its reply.
        self._waiting: dict[_Key, list[_Target]] = defaultdict(list)
        self._answers: dict[_Key, _Answer] = {}  # the first to each text
        self._n_ready = self._n_emitted = 0  # segments
        self._source_end = 0  # of the output that was emitted
        self._section_start = 0  # of the section that it ends in, and its output
        self._section_pieces: list[str] = []
        self._has_sections = True  # until the structure of one cannot be compared on its own
        self._overflow: ContextOverflow | None = None  # of a text that cannot be split
        self._check_seconds = parse_seconds  # a check takes about as long
        self.pieces: list[str] = []
        self.difference: str | None = None  # in the structure of the output, if it cannot be fixed

    @property
    def is_complete(self) -> bool:
        return self.n_done == len(self.jobs)

    @property
    def text(self) -> str:
        """The source text of all segments."""
        return "\n".join(job.placeholders.plain for job in self.jobs)

    def start(self) -> Iterator[Step]:
        for index, job in enumerate(self.jobs):
            if index in self._kept:
                self._settle(_Target(index, job), self._kept[index])
                continue
            if has_icu_syntax(job.parts):
                self._settle(_Target(index, job), job.parts, _ICU_SYNTAX)
                continue
            self._divide(index)
            for leaf in job.leaves():
                yield from self._start_job(_Target(index, leaf))

    def first_request(self) -> Request | None:
        """Return the request for the first text of the document, None if it has none."""
        for index, job in enumerate(self.jobs):
            if job.is_language:
                self._divide(index)
                leaf = next(leaf for leaf in job.leaves() if leaf.is_language)
                return self._prompts.request(leaf, source=self.source)
        return None

    def _divide(self, index: int) -> None:
        """Split a job if it is too long, and set the context of its pieces."""
        job = self.jobs[index]
        if job.is_language:
            job.split(self._count)
            if self._has_context:
                job.set_context(self._text_near(index, -1), self._text_near(index, 1))

    def _text_near(self, index: int, step: int) -> str:
        """Return the text before (`step` -1) or after (1) a segment, attributes excluded."""
        at = index + step
        while 0 <= at < len(self.jobs):
            segment, job = self.document.segments[at], self.jobs[at]
            if segment.start < segment.end and job.is_language:
                return job.placeholders.plain
            at += step
        return ""

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        if is_determined(step.request.sampling):
            self._cache.save(step.request, reply)
        yield from self._receive(step.target, _Answer(step.request.prompt, reply))
        self._raise_if_too_long()

    def on_error(self, step: Step, error: LlmtoolError) -> Iterator[Step]:
        """Split a text that does not fit the context into sentences, or leave it as it is.

        A text whose further requests have no result in a batch file is left as well.
        """
        if isinstance(error, NoResult) and step.target.job.n_attempts:
            for target in (step.target, *self._waiting.pop(_key(step.target.job), ())):
                self._settle(target, target.job.parts, "the reply is not valid")
            return
        if not isinstance(error, ContextOverflow):
            raise error
        for target in (step.target, *self._waiting.pop(_key(step.target.job), ())):
            if target.job.split_into_sentences():
                yield from self._start_sentences(target)
            else:
                self._overflow = error
                self._settle(target, target.job.parts, "it does not fit the context")
        self._raise_if_too_long()

    def _raise_if_too_long(self) -> None:
        """Check at the end that some text was translated, if another did not fit the context.

        Raises:
            ContextOverflow: the context is too small for this document.
        """
        leaves = (leaf for job in self.jobs for leaf in job.leaves())
        is_empty = self.is_complete and not any(leaf.is_translated for leaf in leaves)
        if self._overflow is not None and is_empty:
            raise self._overflow

    def drain_events(self) -> Iterator[TranslationText]:
        text = self._next_output()
        if text:
            start = "" if self.pieces else self.bom
            self.pieces.append(text)
            yield TranslationText(
                id=self.id, text=start + text, n_done=self.n_done, n_segments=len(self.jobs)
            )

    def untranslated(self) -> tuple[UntranslatedSegment, ...]:
        """Return the text in natural language that was not translated, in source order."""
        source = self.document.source
        found = [
            (segment.start, leaf.reason or _OTHER_PART, leaf.placeholders.source)
            for segment, job in zip(self.document.segments, self.jobs, strict=True)
            for remains in [segment.is_atomic and job.is_rejected]
            for leaf in job.leaves()
            if leaf.reason or (remains and leaf.is_language)
        ]
        found += [
            (each.start, each.reason, source[each.start : each.end]) for each in self._unsupported
        ]
        line, at, untranslated = 1, 0, []
        for start, reason, text in sorted(dict.fromkeys(found), key=lambda each: each[0]):
            line, at = line + source.count("\n", at, start), start
            untranslated.append(UntranslatedSegment(line=line, reason=reason, text=text))
        return tuple(untranslated)

    @property
    def n_untranslated(self) -> int:
        """The number of segments that were not translated, or not completely."""
        return sum(job.is_rejected for job in self.jobs) + len(self._unsupported)

    @property
    def n_segments(self) -> int:
        """The number of segments, including text outside of them that is natural language."""
        return len(self.jobs) + len(self._unsupported)

    @property
    def n_cached(self) -> int:
        """The number of segments whose translations are from the cache."""
        return sum(job.is_translated and job.is_cached for job in self.jobs)

    @property
    def n_kept(self) -> int:
        """The number of segments whose translations are from an earlier translation."""
        return sum(not self.jobs[index].is_rejected for index in self._kept)

    @property
    def results(self) -> list[Sequence[Part]]:
        """The translated parts of all segments."""
        return [self._parts(index) for index in range(len(self.jobs))]

    def _start_job(self, target: _Target) -> Iterator[Step]:
        key = _key(target.job)
        if not target.job.is_language:
            self._settle(target, target.job.parts)
        elif key in self._answers:
            yield from self._evaluate(target, self._answers[key])
        elif key in self._waiting:
            self._waiting[key].append(target)
        else:
            self._waiting[key] = []
            yield from self._request(target, is_retry=False)

    def _start_sentences(self, target: _Target) -> Iterator[Step]:
        for child in target.job.children:
            sentence = _Target(target.segment_index, child)
            if child.is_language:
                yield from self._request(sentence, is_retry=True)
            else:
                self._settle(sentence, child.parts)

    def _request(self, target: _Target, *, is_retry: bool) -> Iterator[Step]:
        """Yield the step for a request, or evaluate its cached reply: another may be rejected."""
        job = target.job
        request = self._prompts.request(
            job, source=self.source, is_retry=is_retry, has_context=job.has_context
        )
        reply = self._cache.load(request) if is_determined(request.sampling) else None
        if reply is None:
            yield Step(request=request, target=target)
        else:
            yield from self._receive(target, _Answer(request.prompt, reply, is_cached=True))

    def _receive(self, target: _Target, answer: _Answer) -> Iterator[Step]:
        """Evaluate an answer, also for the equal texts that wait for it."""
        key = _key(target.job)
        first = self._answers.setdefault(key, answer)
        yield from self._evaluate(target, answer)
        for other in self._waiting.pop(key, ()):
            yield from self._evaluate(other, first)

    def _evaluate(self, target: _Target, answer: _Answer) -> Iterator[Step]:
        """Accept a reply, or retry: without context, with a constraint, then by sentence."""
        job = target.job
        job.is_cached = answer.is_cached
        has_context = bool(job.context) and job.has_context
        parts, fault = self._judge(target, answer, has_context=has_context)
        if fault is not None and has_context:
            job.has_context = False
            self.n_retried += 1
            yield from self._start_job(target)
            return
        job.n_attempts += 1
        if fault is None:
            self._settle(target, parts)
        elif job.n_attempts < _MAX_ATTEMPTS and not job.is_sentence:
            self.n_retried += 1
            yield from self._request(target, is_retry=True)
        elif job.split_into_sentences():
            yield from self._start_sentences(target)
        else:
            self._settle(target, job.parts, f"the reply {fault}")

    def _judge(
        self, target: _Target, answer: _Answer, *, has_context: bool
    ) -> tuple[tuple[Part, ...], str | None]:
        """Return the parts of a reply, and why it is not accepted, or None."""
        job, root = target.job, self.jobs[target.segment_index]
        text, fault = self._prompts.check(job, answer.prompt, answer.reply, has_context=has_context)
        parts = job.restore(text)
        if fault is None and parts is None:
            fault = "drops or repeats code, a link, a tag or a placeholder"
        if fault is None and parts is not None:
            segment = self.document.segments[target.segment_index]
            candidate = parts
            if len(root.children) <= _MAX_PIECES:
                candidate = root.with_candidate(job, parts)
            else:
                segment = msgspec.structs.replace(segment, parts=job.parts)
            fault = find_placeholder_fault(job.parts, parts) or self.document.find_fault(
                segment, candidate
            )
        return parts or (), fault

    def _settle(self, target: _Target, parts: Sequence[Part], reason: str | None = None) -> None:
        target.job.settle(parts, reason)
        if self.jobs[target.segment_index].is_settled:
            self.n_done += 1

    def _next_output(self) -> str:
        """Return the output that was completed since the last call, if it is checked."""
        segments, source = self.document.segments, self.document.source
        if self.pieces and self._source_end == len(source):
            return ""
        while self._n_ready < len(segments) and self.jobs[self._n_ready].is_settled:
            if segments[self._n_ready].waits and not self.is_complete:
                break
            self._n_ready += 1
        if self.is_complete:
            self._connect()
            self._check(self._n_ready)
            return self._emit(self._n_ready, len(source))
        if self._n_ready == self._n_emitted:
            return ""
        section = self._find_section()
        end, source_end = section or (self._n_ready, segments[self._n_ready - 1].end)
        if section and self._has_sections:
            output = self._render(end, source_end)
            whole = "".join((*self._section_pieces, output))
            start = self._section_start
            self._has_sections = self.document.is_same_section(start, source_end, whole)
        if section and self._has_sections:
            self._n_emitted, self._source_end = end, source_end
        elif self._check_in_time(end, source_end):
            output = self._emit(end, source_end)
        else:
            return ""
        if section:
            self._section_start, self._section_pieces = source_end, []
        else:
            self._section_pieces.append(output)
        return output

    def _find_section(self) -> tuple[int, int] | None:
        """Return the end of the finished sections, None if the next one is unfinished."""
        segments, sections = self.document.segments, self.document.sections
        end = self._n_ready
        at = bisect_right(sections, segments[end].start) - 1
        if at < 0 or sections[at] <= self._source_end:
            return None
        while end > self._n_emitted and segments[end - 1].start >= sections[at]:
            end -= 1
        return end, sections[at]

    def _check_in_time(self, end: int, source_end: int) -> bool:
        """Check the whole output up to `end`; return False if it is too early for that."""
        n_new = source_end - self._source_end
        is_small = n_new <= len(self.document.source) ** 2 / _CHECKED_CHARACTERS
        seconds = time.perf_counter() - self.started
        if not n_new or (is_small and self._check_seconds > seconds * _CHECKED_SHARE):
            return False
        self._check(end)
        self._has_sections = True
        return True

    def _emit(self, end: int, source_end: int) -> str:
        output = self._render(end, source_end)
        self._n_emitted, self._source_end = end, source_end
        return output

    def _check(self, end: int) -> None:
        started = time.perf_counter()
        self._repair(end)
        self._check_seconds += time.perf_counter() - started

    def _repair(self, end: int) -> None:
        """Reject the translations up to `end` that change the structure of the document."""
        n_checks = 0
        while (difference := self._compare(end)) is not None:
            good, bad = self._n_emitted, end  # the number of segments without and with a difference
            if self._compare(good) is not None:
                self.difference = difference
                return
            while bad - good > 1:
                middle = (good + bad) // 2
                n_checks += 1
                if self._compare(middle) is None:
                    good = middle
                else:
                    bad = middle
            is_over = n_checks > _MAX_REPAIR_CHARACTERS / len(self.document.source)
            rejected = range(self._first_attribute(bad - 1), end if is_over else bad)
            if not any(map(self._is_changed, rejected)):
                self.difference = difference
                return
            for index in rejected:
                self.jobs[index].reject(f"its translation changes the structure: {difference}")
            if self.is_complete:
                self._connect()

    def _first_attribute(self, index: int) -> int:
        """Return the index of the first attribute that a segment contains, or its own."""
        segments = self.document.segments
        start = segments[index].start
        while index > self._n_emitted and segments[index - 1].start == start:
            index -= 1
        return index

    def _compare(self, end: int) -> str | None:
        """Return how the structure of the document with the segments up to `end` differs."""
        source = self.document.source
        rest = self._source_end if end == self._n_emitted else self.document.segments[end - 1].end
        output = "".join(self.pieces) + self._render(end, rest) + source[rest:]
        try:
            return None if output == source else self.document.compare(output)
        except InputError as exc:  # the output cannot be parsed
            return str(exc)

    def _render(self, end: int, source_end: int) -> str:
        """Return the output for the source from the last emitted segment to `source_end`."""
        source, at, pieces = self.document.source, self._source_end, []
        for index in range(self._n_emitted, end):
            segment = self.document.segments[index]
            is_translated = self.jobs[index].is_translated
            encode = self.document.encode_translation if is_translated else self.document.encode
            encoded = encode(segment, self._parts(index))
            pieces += [source[at : segment.start], encoded]
            at = segment.end
        return "".join((*pieces, source[at:source_end]))

    def _connect(self) -> None:
        """Pass all results to the document if some segments depend on them."""
        if any(segment.waits for segment in self.document.segments):
            self.document.connect(self.results)

    def _is_changed(self, index: int) -> bool:
        """Return whether the output of a segment can differ from the source."""
        if self.document.has_targets and self.jobs[index].is_translated:
            return True
        return self._parts(index) != self.document.segments[index].parts

    def _parts(self, index: int) -> Sequence[Part]:
        """Return the translated parts of a segment, or its own if it has to stay unchanged."""
        segment, job = self.document.segments[index], self.jobs[index]
        is_rejected = segment.is_atomic and job.is_rejected
        return (None if is_rejected else job.result) or segment.parts


def _key(job: SegmentJob) -> _Key:
    return job.placeholders.text, (*job.notes, *(job.context if job.has_context else ()))
