"""A document on its way to a summary: chunks to notes, notes to fewer notes, those to a text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from llmtool.engine.types import FinishReason, Request, Token
from llmtool.tasks.pipeline.workflow import Call, Reply, Work
from llmtool.tasks.summarize import facts
from llmtool.tasks.summarize.dedupe import RepetitionFilter, without_repeats
from llmtool.tasks.summarize.length import Length, Style
from llmtool.text.chunks import split, split_sentences
from llmtool.text.sections import Chunk

Strategy = Literal["stuff", "map-reduce", "refine"]
_TRIES = 2  # of the last call
_CUT = "was cut at its limit of tokens"
_ENDS = '.!?…。！？"”»'  # of a sentence
_OPEN_ITEM = re.compile(r"\s+(?:\d{1,3}[.)]|[-*•])$")  # the number of a point that did not come


class SummaryText(msgspec.Struct, frozen=True, kw_only=True):
    """The next piece of a summary."""

    id: int
    text: str


class SummaryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a document has been read, in tokens."""

    id: int
    n_done: int
    n_tokens: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a document is summarized: in which chunks, and how long notes of them may be."""

    strategy: Strategy
    chunks: tuple[Chunk, ...]
    n_tokens: int
    note_tokens: int = 0
    reduce_tokens: int = 0  # that fit into a call with notes


class Asking(Protocol):
    """How parts, notes and the whole are put to the model."""

    length: Length
    style: Style

    def ask_note(self, text: str, *, path: Sequence[str], max_tokens: int) -> Request: ...
    def ask_refined(self, summary: str, chunk: Chunk) -> Request: ...
    def ask_summary(self, text: str, *, n_try: int) -> Request: ...
    def count(self, text: str) -> int: ...
    def load_note(self, request: Request) -> str | None: ...
    def save_note(self, request: Request, note: str) -> None: ...


class _Note(msgspec.Struct, frozen=True):
    """The place of a note: in which round of notes, and which of them."""

    level: int
    index: int


class _Refined(msgspec.Struct, frozen=True):
    index: int


class _Final(msgspec.Struct, frozen=True):
    n_try: int


class SummaryWork(Work["SummaryText | SummaryProgress"]):
    """One document, or one section of it; `text` is its summary when it is complete."""

    def __init__(self, id: int, source: str, plan: Plan, asking: Asking) -> None:
        super().__init__(id)
        self.source, self.plan, self._asking = source, plan, asking
        self.text: str | None = None
        self.finish_reason: FinishReason = "stop"
        self.seed = 0
        self.levels: list[list[str | None]] = []
        self.fallback: str | None = None  # why the notes stand in the place of a summary
        self.n_cached_notes = self.n_quoted_notes = 0
        self.warnings: list[str] = []
        self.started = time.perf_counter()
        self._inputs: list[list[str]] = []  # of each level's notes
        self._n_done = 0
        self._read: set[int] = set()
        self._told = -1
        self._written = ""
        self._live = RepetitionFilter()

    @property
    def is_complete(self) -> bool:
        return self.text is not None

    @property
    def notes(self) -> list[str]:
        return [note for note in self.levels[-1] if note] if self.levels else []

    def begin(self) -> Iterator[Call]:
        if self.plan.strategy == "stuff":
            yield self._finish(self.source, 0)
        elif self.plan.strategy == "refine":
            index = self._pass_blanks(0)
            first = self.plan.chunks[index]
            request = self._asking.ask_note(
                first.text, path=first.path, max_tokens=self.plan.note_tokens
            )
            yield Call(request=request, about=_Refined(index))
        else:
            yield from self._take_notes([chunk.text for chunk in self.plan.chunks])

    def take(self, call: Call, reply: Reply) -> Iterator[Call]:
        about = call.about
        if isinstance(about, _Note):
            yield from self._take_note(call.request, about, reply)
        elif isinstance(about, _Refined):
            yield from self._refine(about.index, reply)
        else:
            yield from self._conclude(about.n_try, reply)

    def hear(self, call: Call, token: Token) -> Iterator[SummaryText | SummaryProgress]:
        if isinstance(call.about, _Note):  # its first token says that its part has been read
            self._have_read(call.about)
            yield from self.news()
            return
        text = self._live.add(token.text)
        text = text if self._written else text.lstrip()
        if text:
            self._written += text
            yield SummaryText(id=self.id, text=text)

    def news(self) -> Iterator[SummaryText | SummaryProgress]:
        if self._n_done != self._told:
            self._told = self._n_done
            yield SummaryProgress(id=self.id, n_done=self._n_done, n_tokens=self.plan.n_tokens)
        if self.text is not None and len(self._written) < len(self.text):
            rest = self.text[len(self._written) :]
            self._written = self.text
            yield SummaryText(id=self.id, text=rest)

    # Notes

    def _take_notes(self, inputs: list[str]) -> Iterator[Call]:
        """Ask for a note on each input, but for those that are kept from another time."""
        level = len(self.levels)
        self._inputs.append(inputs)
        self.levels.append([None] * len(inputs))
        for index, text in enumerate(inputs):
            if not text.strip():  # a long gap in a text can be a part of its own
                yield from self._have_note(_Note(level, index), "")
                continue
            path = self.plan.chunks[index].path if level == 0 else ()
            request = self._asking.ask_note(text, path=path, max_tokens=self.plan.note_tokens)
            kept = self._asking.load_note(request)
            if kept is None:
                yield Call(request=request, about=_Note(level, index), is_live=level == 0)
            else:
                self.n_cached_notes += 1
                yield from self._have_note(_Note(level, index), kept)

    def _take_note(self, request: Request, place: _Note, reply: Reply) -> Iterator[Call]:
        source = self._inputs[place.level][place.index]
        note = self._fitting(self._checked(reply, [source]), self.plan.reduce_tokens // 2 - 4)
        self._asking.save_note(request, note)
        yield from self._have_note(place, note)

    def _checked(self, reply: Reply, sources: list[str]) -> str:
        """Return a note, or the sources' own sentences for what the model could not note."""
        note = without_repeats(whole_sentences(reply.text, reply.finish_reason))
        if note.strip() and facts.find_fault(note, sources) is None:
            return note
        self.n_quoted_notes += 1
        return facts.choose_sentences(sources, max(12, self.plan.note_tokens // 3))

    def _fitting(self, note: str, room: int) -> str:
        """Return a note, or as many of its sentences as there is room for."""
        if self._asking.count(note) <= room:
            return note
        return split(note, max_tokens=max(room, 1), count=self._asking.count)[0].strip()

    def _have_note(self, place: _Note, note: str) -> Iterator[Call]:
        notes = self.levels[place.level]
        notes[place.index] = note
        if place.level == 0:
            self._have_read(place)
        if None in notes:
            return
        texts = [text for text in notes if text]
        joined = "\n\n".join(texts)
        if self._asking.count(joined) <= self.plan.reduce_tokens or len(texts) < 2:
            yield self._finish(joined, 0)
        else:
            yield from self._take_notes(self._groups(texts))

    def _have_read(self, place: _Note) -> None:
        if place.index not in self._read:
            self._read.add(place.index)
            self._n_done += self.plan.chunks[place.index].n_tokens

    def _groups(self, notes: list[str]) -> list[str]:
        """Return notes in groups that fit into a call, alike in size, each of two at least."""
        sizes = [self._asking.count(note) + 2 for note in notes]
        room = max(self.plan.reduce_tokens, 1)
        n_groups = min(-(-sum(sizes) // room), max(1, len(notes) // 2))
        share = sum(sizes) / n_groups
        groups: list[list[str]] = [[]]
        used = in_group = 0
        for note, size in zip(notes, sizes, strict=True):
            is_full = used + size / 2 > share * len(groups) and len(groups) < n_groups
            if groups[-1] and (is_full or in_group + size > room):
                groups.append([])
                in_group = 0
            groups[-1].append(note)
            used, in_group = used + size, in_group + size
        return ["\n\n".join(group) for group in groups]

    # Refining

    def _refine(self, index: int, reply: Reply) -> Iterator[Call]:
        chunks = self.plan.chunks
        summary = self._checked(reply, [*self.notes, chunks[index].text])
        summary = self._fitting(summary, self.plan.note_tokens)
        self.levels.append([summary])
        self._n_done += chunks[index].n_tokens
        index = self._pass_blanks(index + 1)
        if index < len(chunks):
            request = self._asking.ask_refined(summary, chunks[index])
            yield Call(request=request, about=_Refined(index))
        else:
            yield self._finish(summary, 0)

    def _pass_blanks(self, index: int) -> int:
        """Return the place of the first chunk from `index` on that has something in it."""
        chunks = self.plan.chunks
        while index < len(chunks) and not chunks[index].text.strip():
            self._n_done += chunks[index].n_tokens
            index += 1
        return index

    # The end

    def _finish(self, text: str, n_try: int) -> Call:
        self._material = text
        request = self._asking.ask_summary(text, n_try=n_try)
        is_live = self.plan.strategy == "stuff" and self._asking.length.n is None
        return Call(request=request, about=_Final(n_try), is_live=is_live)

    def _conclude(self, n_try: int, reply: Reply) -> Iterator[Call]:
        """Take the last reply if it is as long as asked and holds what its notes held."""
        length, style = self._asking.length, self._asking.style
        self.seed, self.finish_reason = reply.seed, "stop"
        if self._written:  # it has been told as it came
            self.text = (self._written + self._live.end()).rstrip()
            self.finish_reason = reply.finish_reason
            if reply.finish_reason == "length":
                self.warnings.append(f"the summary {_CUT} (--max-tokens sets another)")
        else:
            text = reply.text.strip()
            if style == "paragraph":
                text = whole_sentences(text, reply.finish_reason)
            text = without_repeats(length.cut(text))
            is_cut = reply.finish_reason == "length" and text[-1:] not in _ENDS
            fault = _CUT if is_cut else self._find_fault(text)
            if fault is not None and n_try + 1 < _TRIES:
                yield self._finish(self._material, n_try + 1)
                return
            if fault is not None and self.notes:
                self.fallback = fault
                text = self._from_notes()
            elif fault is not None:
                self.finish_reason = "length" if is_cut else "stop"
                self.warnings.append(f"the summary {fault}")
            self.text = text
        self._n_done = self.plan.n_tokens

    def _find_fault(self, text: str) -> str | None:
        if not text:
            return "is empty"
        if self._asking.style in ("paragraph", "bullets") and self.notes:
            fault = facts.find_fault(text, self.notes, n_words=self._asking.length.n_words)
            if fault is not None:
                return fault
        if not self._asking.length.is_met(text):
            return f"is not {self._asking.length.told} long"
        return None

    def _from_notes(self) -> str:
        """Return the sentences of the notes that hold most, as long as the summary should be."""
        chosen = facts.choose_sentences(self.notes, self._asking.length.n_words)
        if self._asking.style == "bullets":
            return "\n".join(f"- {sentence.strip()}" for sentence in split_sentences(chosen))
        return chosen


def whole_sentences(text: str, finish_reason: FinishReason) -> str:
    """Return a reply without a sentence that was cut at its end, unless there is no other."""
    text = _OPEN_ITEM.sub("", text.strip())
    sentences = split_sentences(text)
    if finish_reason == "stop" or len(sentences) < 2 or text[-1:] in _ENDS:
        return text
    return "".join(sentences[:-1]).rstrip()
