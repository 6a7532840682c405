"""How a text is read within the context of a model, and what its works ask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Engine, Prompt, Request
from llmtool.errors import ContextOverflow
from llmtool.tasks.summarize.map_reduce import Plan
from llmtool.text.chunks import count_long
from llmtool.text.sections import Chunk, split_document

if TYPE_CHECKING:
    from llmtool.tasks.summarize.summarizer import Summarizer

STUFF_TOKENS = 3072  # a text up to here is read as a whole, if it fits
_MARGIN = 16  # tokens; texts join differently than they are counted
_MIN_ROOM = 64
_NOTE_TOKENS = (32, 220)  # of a note, at least and at most
_NOTE_SHARE = 3  # notes that a call with notes has room for, at least


class Calls:
    """What the works ask through an engine, and the notes that are kept."""

    def __init__(self, summarizer: Summarizer, engine: Engine) -> None:
        self._summarizer, self._engine = summarizer, engine
        self.length, self.style = summarizer.length, summarizer.style
        self._note_tokens = _NOTE_TOKENS[1]

    def ask_note(self, text: str, *, path: Sequence[str], max_tokens: int) -> Request:
        return self._summarizer.ask_note(text, path=path, max_tokens=max_tokens)

    def ask_refined(self, summary: str, chunk: Chunk) -> Request:
        return self._summarizer.ask_refined(summary, chunk, max_tokens=self._note_tokens)

    def ask_summary(self, text: str, *, n_try: int) -> Request:
        return self._summarizer.ask_summary(text, n_try=n_try)

    def count(self, text: str) -> int:
        return len(self._engine.tokenize(Prompt(text=text)).token_ids) if text else 0

    def load_note(self, request: Request) -> str | None:
        kept = self._summarizer.kept
        return None if kept is None else kept.load(self._key(request), str)

    def save_note(self, request: Request, note: str) -> None:
        if self._summarizer.kept is not None:
            self._summarizer.kept.try_to_save(self._key(request), note)

    def plan(self, text: str) -> Plan:
        """Return how a text is summarized within the context of the model.

        Raises:
            ContextOverflow: it is to be read as a whole and does not fit, or nothing does.
        """
        s = self._summarizer
        n_ctx = self._engine.info.n_ctx
        n_tokens = count_long(text, self.count)
        last = s.ask_summary("x", n_try=0)
        reply = last.sampling.max_tokens or 0
        room = n_ctx - self._tokens(last) - reply - _MARGIN
        whole = Chunk(text=text, start=0, end=len(text), n_tokens=n_tokens)
        if s.strategy == "stuff" or (
            s.strategy is None and n_tokens <= min(room, max(STUFF_TOKENS, s.chunk_tokens))
        ):
            if n_tokens > room:
                needed = n_tokens + n_ctx - room
                raise ContextOverflow(
                    f"the text needs {needed} tokens, {n_ctx} are available "
                    "(--strategy map-reduce reads it in parts)",
                    needed=needed,
                    available=n_ctx,
                )
            return Plan(strategy="stuff", chunks=(whole,), n_tokens=n_tokens)
        notes = min(room, max(STUFF_TOKENS, s.chunk_tokens))
        note = min(_NOTE_TOKENS[1], notes // (_NOTE_SHARE + 1), s.chunk_tokens // 2)
        around = self._tokens(s.ask_note("x", path=("x " * 20,), max_tokens=1))
        if s.strategy == "refine":
            part = Chunk(text="x", start=0, end=1, n_tokens=1)
            around = self._tokens(s.ask_refined("x " * note, part, max_tokens=1))
        part_tokens = min(s.chunk_tokens, n_ctx - around - note - _MARGIN)
        if note < _NOTE_TOKENS[0] or part_tokens < _MIN_ROOM:
            raise ContextOverflow(
                f"a context of {n_ctx} tokens has no room for a part of the text "
                "(a larger --ctx-size, or a shorter --length)",
                needed=around + note + _MIN_ROOM + _MARGIN,
                available=n_ctx,
            )
        self._note_tokens = note
        chunks = split_document(text, max_tokens=part_tokens, count=self.count)
        return Plan(
            strategy=s.strategy or "map-reduce",
            chunks=tuple(chunks),
            n_tokens=sum(chunk.n_tokens for chunk in chunks),
            note_tokens=note,
            reduce_tokens=notes,
        )

    def _tokens(self, request: Request) -> int:
        return len(self._engine.tokenize(request.prompt).token_ids)

    def _key(self, request: Request) -> str:
        asked = msgspec.json.encode([request.prompt, request.sampling])
        return hashlib.sha256(self._summarizer.model_identity.encode() + asked).hexdigest()
