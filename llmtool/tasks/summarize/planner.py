"""Choose the strategy of a summary, and split the text into chunks that fit the context."""

from __future__ import annotations

import msgspec

from llmtool.engine.types import Engine, Request
from llmtool.errors import ContextOverflow
from llmtool.option_names import option
from llmtool.tasks.options import Strategy
from llmtool.tasks.pipeline.prepare import token_counter
from llmtool.tasks.summarize.prompts import SummaryPrompts
from llmtool.text.chunks import estimate_tokens
from llmtool.text.sections import Chunk, split_document

STUFF_TOKENS = 3072  # up to this length, a text that fits is read in one request
_MARGIN = 16  # tokens; joined texts can take more tokens than each alone
_MIN_CHUNK_TOKENS = 64
_MIN_NOTE_TOKENS, _MAX_NOTE_TOKENS = 32, 220
_MIN_NOTES_PER_REQUEST = 3


class SummaryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How to summarize a text.

    `note_tokens` is the limit of a note, `reduce_tokens` that of the notes in one request.
    """

    strategy: Strategy
    chunks: tuple[Chunk, ...]
    n_tokens: int
    note_tokens: int = 0
    reduce_tokens: int = 0


def plan_summary(
    prompts: SummaryPrompts,
    engine: Engine,
    text: str,
    *,
    strategy: Strategy | None,
    chunk_tokens: int,
) -> SummaryPlan:
    """Return how to summarize a text within the context of the model.

    Strategy None chooses by the length of the text.

    Raises:
        ContextOverflow: the strategy is "stuff" and the text does not fit, or the context is too
            small for a chunk.
    """

    def n_tokens_of(request: Request) -> int:
        return len(engine.tokenize(request.prompt).token_ids)

    count = token_counter(engine)
    n_ctx = engine.info.n_ctx
    n_tokens = estimate_tokens(text, count)
    final = prompts.summary_request("x")
    available = n_ctx - n_tokens_of(final) - (final.sampling.max_tokens or 0) - _MARGIN
    stuff_tokens = min(available, max(STUFF_TOKENS, chunk_tokens))
    if strategy == "stuff" or (strategy is None and n_tokens <= stuff_tokens):
        if n_tokens > available:
            needed = n_tokens + n_ctx - available
            raise ContextOverflow(
                f"input needs {needed:,} tokens, but the context holds {n_ctx:,}; "
                f"use {option('strategy', 'map-reduce')} to read it in chunks",
                needed=needed,
                available=n_ctx,
            )
        whole = Chunk(text=text, start=0, end=len(text), n_tokens=n_tokens)
        return SummaryPlan(strategy="stuff", chunks=(whole,), n_tokens=n_tokens)
    note_tokens = min(
        _MAX_NOTE_TOKENS, stuff_tokens // (_MIN_NOTES_PER_REQUEST + 1), chunk_tokens // 2
    )
    if strategy == "refine":
        chunk = Chunk(text="x", start=0, end=1, n_tokens=1)
        largest = prompts.refine_request("x " * note_tokens, chunk, max_tokens=1)
    else:
        largest = prompts.note_request("x", path=("x " * 20,), max_tokens=1)
    overhead = n_tokens_of(largest)
    chunk_tokens = min(chunk_tokens, n_ctx - overhead - note_tokens - _MARGIN)
    if note_tokens < _MIN_NOTE_TOKENS or chunk_tokens < _MIN_CHUNK_TOKENS:
        raise ContextOverflow(
            f"the context of {n_ctx:,} tokens is too small for a chunk of the text; "
            f"raise {option('n_ctx')} or use a shorter {option('length')}",
            needed=overhead + note_tokens + _MIN_CHUNK_TOKENS + _MARGIN,
            available=n_ctx,
        )
    chunks = split_document(text, max_tokens=chunk_tokens, count=count)
    return SummaryPlan(
        strategy=strategy or "map-reduce",
        chunks=tuple(chunks),
        n_tokens=sum(chunk.n_tokens for chunk in chunks),
        note_tokens=note_tokens,
        reduce_tokens=stuff_tokens,
    )
