"""Summarize one text: map chunks to notes, and reduce the notes to a summary."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import msgspec

from llmtool.engine.types import FinishReason, Request, Token
from llmtool.option_names import option
from llmtool.short_repr import short_repr
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.summarize import facts
from llmtool.tasks.summarize.dedupe import RepetitionFilter, without_repeats
from llmtool.tasks.summarize.planner import SummaryPlan
from llmtool.tasks.summarize.prompts import SummaryPrompts
from llmtool.text.chunks import CountTokens, split, split_sentences

_MAX_ATTEMPTS = 2  # for the final summary
_TRUNCATED = "was truncated at the token limit"
_SENTENCE_ENDS = '.!?…。！？"”»'
_OPEN_ITEM = re.compile(r"\s+(?:\d{1,3}[.)]|[-*•])$")  # the marker of an empty list item


class SummaryText(msgspec.Struct, frozen=True, kw_only=True):
    """The next text of a summary."""

    id: int
    text: str

    __repr__ = short_repr("text")


class SummaryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The number of tokens of a document that have been read."""

    id: int
    n_done: int
    n_tokens: int


SummaryEvent = SummaryText | SummaryProgress


class _Note(msgspec.Struct, frozen=True):
    """The target of a step that takes notes: a round, and the index of its input."""

    round: int
    index: int


class _RefinedNotes(msgspec.Struct, frozen=True):
    """The target of a step that adds a chunk to the notes."""

    index: int


class _Summary(msgspec.Struct, frozen=True):
    """The target of a step that writes the summary."""

    attempt: int


class SummaryWorkflow(Workflow[SummaryEvent]):
    """The summary of one text, or of one section; `text` is the result when it is complete."""

    def __init__(
        self,
        id: int,
        source: str,
        plan: SummaryPlan,
        prompts: SummaryPrompts,
        *,
        count: CountTokens,
        note_cache: ReplyCache,
    ) -> None:
        super().__init__(id)
        self.source, self.plan = source, plan
        self._prompts, self._count, self._note_cache = prompts, count, note_cache
        self.text: str | None = None
        self.finish_reason: FinishReason = "stop"
        self.seed = 0
        self.rounds: list[list[str | None]] = []  # of notes
        self.fallback: str | None = None  # why the result consists of sentences of the notes
        self.n_cached_notes = self.n_quoted_notes = 0
        self.warnings: list[str] = []
        self.started = time.perf_counter()
        self._inputs: list[list[str]] = []  # of each round
        self._n_done = 0
        self._n_reported = -1
        self._read_chunks: set[int] = set()
        self._final_input = ""
        self._emitted = ""
        self._filter = RepetitionFilter()

    @property
    def is_complete(self) -> bool:
        return self.text is not None

    @property
    def notes(self) -> list[str]:
        return [note for note in self.rounds[-1] if note] if self.rounds else []

    def start(self) -> Iterator[Step]:
        if self.plan.strategy == "stuff":
            yield self._final_step(self.source)
        elif self.plan.strategy == "refine":
            index = self._skip_blank_chunks(0)
            first = self.plan.chunks[index]
            request = self._prompts.note_request(
                first.text, path=first.path, max_tokens=self.plan.note_tokens
            )
            yield Step(request=request, target=_RefinedNotes(index))
        else:
            yield from self._take_notes([chunk.text for chunk in self.plan.chunks])

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        target = step.target
        if isinstance(target, _Note):
            yield from self._on_note(step.request, target, reply)
        elif isinstance(target, _RefinedNotes):
            yield from self._on_refined_notes(target.index, reply)
        else:
            yield from self._on_summary(target.attempt, reply)

    def on_token(self, step: Step, token: Token) -> Iterator[SummaryEvent]:
        if isinstance(step.target, _Note):  # its first token shows that the chunk has been read
            self._mark_read(step.target)
            yield from self.drain_events()
            return
        if token.reasoning:
            return
        text = self._filter.add(token.text)
        text = text if self._emitted else text.lstrip()
        if text:
            self._emitted += text
            yield SummaryText(id=self.id, text=text)

    def drain_events(self) -> Iterator[SummaryEvent]:
        if self._n_done != self._n_reported:
            self._n_reported = self._n_done
            yield SummaryProgress(id=self.id, n_done=self._n_done, n_tokens=self.plan.n_tokens)
        if self.text is not None and len(self._emitted) < len(self.text):
            rest = self.text[len(self._emitted) :]
            self._emitted = self.text
            yield SummaryText(id=self.id, text=rest)

    # Notes

    def _take_notes(self, inputs: list[str]) -> Iterator[Step]:
        """Start a round of notes; yield steps for the notes that are not cached."""
        round = len(self.rounds)
        self._inputs.append(inputs)
        self.rounds.append([None] * len(inputs))
        for index, text in enumerate(inputs):
            if not text.strip():  # a long run of white space can be a whole chunk
                yield from self._add_note(_Note(round, index), "")
                continue
            path = self.plan.chunks[index].path if round == 0 else ()
            request = self._prompts.note_request(text, path=path, max_tokens=self.plan.note_tokens)
            cached = self._note_cache.load(request)
            if cached is None:
                yield Step(request=request, target=_Note(round, index), is_live=round == 0)
            else:
                self.n_cached_notes += 1
                yield from self._add_note(_Note(round, index), cached)

    def _on_note(self, request: Request, target: _Note, reply: StepReply) -> Iterator[Step]:
        source = self._inputs[target.round][target.index]
        note = self._shortened(self._checked(reply, [source]), self.plan.reduce_tokens // 2 - 4)
        self._note_cache.save(request, note)
        yield from self._add_note(target, note)

    def _checked(self, reply: StepReply, sources: list[str]) -> str:
        """Return a note, or sentences of the sources if the note omits or invents facts."""
        note = without_repeats(whole_sentences(reply.text, reply.finish_reason))
        if note.strip() and facts.find_fault(note, sources) is None:
            return note
        self.n_quoted_notes += 1
        return facts.choose_sentences(sources, max(12, self.plan.note_tokens // 3))

    def _shortened(self, note: str, max_tokens: int) -> str:
        """Truncate a note to a number of tokens."""
        if self._count(note) <= max_tokens:
            return note
        return split(note, max_tokens=max(max_tokens, 1), count=self._count)[0].strip()

    def _add_note(self, target: _Note, note: str) -> Iterator[Step]:
        """Store a note; after the last of a round, start another round or the summary."""
        notes = self.rounds[target.round]
        notes[target.index] = note
        if target.round == 0:
            self._mark_read(target)
        if None in notes:
            return
        texts = [text for text in notes if text]
        joined = "\n\n".join(texts)
        if self._count(joined) <= self.plan.reduce_tokens or len(texts) < 2:
            yield self._final_step(joined)
        else:
            yield from self._take_notes(self._groups(texts))

    def _mark_read(self, target: _Note) -> None:
        if target.index not in self._read_chunks:
            self._read_chunks.add(target.index)
            self._n_done += self.plan.chunks[target.index].n_tokens

    def _groups(self, notes: list[str]) -> list[str]:
        """Join notes into groups of similar size that fit, each of at least two notes."""
        sizes = [self._count(note) + 2 for note in notes]
        max_tokens = max(self.plan.reduce_tokens, 1)
        n_groups = min(-(-sum(sizes) // max_tokens), max(1, len(notes) // 2))
        target_size = sum(sizes) / n_groups
        groups: list[list[str]] = [[]]
        n_total = n_group = 0
        for note, size in zip(notes, sizes, strict=True):
            is_full = n_total + size / 2 > target_size * len(groups) and len(groups) < n_groups
            if groups[-1] and (is_full or n_group + size > max_tokens):
                groups.append([])
                n_group = 0
            groups[-1].append(note)
            n_total, n_group = n_total + size, n_group + size
        return ["\n\n".join(group) for group in groups]

    # Refining

    def _on_refined_notes(self, index: int, reply: StepReply) -> Iterator[Step]:
        chunks = self.plan.chunks
        notes = self._checked(reply, [*self.notes, chunks[index].text])
        notes = self._shortened(notes, self.plan.note_tokens)
        self.rounds.append([notes])
        self._n_done += chunks[index].n_tokens
        index = self._skip_blank_chunks(index + 1)
        if index < len(chunks):
            request = self._prompts.refine_request(
                notes, chunks[index], max_tokens=self.plan.note_tokens
            )
            yield Step(request=request, target=_RefinedNotes(index))
        else:
            yield self._final_step(notes)

    def _skip_blank_chunks(self, index: int) -> int:
        """Return the index of the first chunk at or after `index` that is not blank."""
        chunks = self.plan.chunks
        while index < len(chunks) and not chunks[index].text.strip():
            self._n_done += chunks[index].n_tokens
            index += 1
        return index

    # The summary

    def _final_step(self, text: str, attempt: int = 0) -> Step:
        self._final_input = text
        request = self._prompts.summary_request(text, attempt=attempt)
        is_live = self.plan.strategy == "stuff" and self._prompts.length.n is None
        return Step(request=request, target=_Summary(attempt), is_live=is_live)

    def _on_summary(self, attempt: int, reply: StepReply) -> Iterator[Step]:
        """Accept a summary that has the facts of the notes and the right length, or retry."""
        length, style = self._prompts.length, self._prompts.style
        self.seed, self.finish_reason = reply.seed, "stop"
        if self._emitted:  # it was streamed
            self.text = (self._emitted + self._filter.end()).rstrip()
            self.finish_reason = reply.finish_reason
            if reply.finish_reason == "length":
                self.warnings.append(f"the summary {_TRUNCATED}; raise {option('max_tokens')}")
        else:
            text = reply.text.strip()
            if style == "paragraph":
                text = whole_sentences(text, reply.finish_reason)
            text = without_repeats(length.truncate(text))
            is_truncated = reply.finish_reason == "length" and text[-1:] not in _SENTENCE_ENDS
            fault = _TRUNCATED if is_truncated else self._find_fault(text)
            if fault is not None and attempt + 1 < _MAX_ATTEMPTS:
                yield self._final_step(self._final_input, attempt + 1)
                return
            if fault is not None and self.notes:
                self.fallback = fault
                text = self._from_notes()
            elif fault is not None:
                self.finish_reason = "length" if is_truncated else "stop"
                self.warnings.append(f"the summary {fault}")
            self.text = text
        self._n_done = self.plan.n_tokens

    def _find_fault(self, text: str) -> str | None:
        if not text:
            return "is empty"
        length = self._prompts.length
        if self._prompts.style in ("paragraph", "bullets") and self.notes:
            fault = facts.find_fault(text, self.notes, n_words=length.n_words)
            if fault is not None:
                return fault
        return None if length.is_met(text) else f"is not {length.phrase} long"

    def _from_notes(self) -> str:
        """Return the sentences of the notes with the most facts, in the requested style."""
        chosen = facts.choose_sentences(self.notes, self._prompts.length.n_words)
        if self._prompts.style == "bullets":
            return "\n".join(f"- {sentence.strip()}" for sentence in split_sentences(chosen))
        return chosen


def whole_sentences(text: str, finish_reason: FinishReason) -> str:
    """Return a reply without a truncated last sentence, unless it is the only one."""
    text = _OPEN_ITEM.sub("", text.strip())
    sentences = split_sentences(text)
    if finish_reason == "stop" or len(sentences) < 2 or text[-1:] in _SENTENCE_ENDS:
        return text
    return "".join(sentences[:-1]).rstrip()
