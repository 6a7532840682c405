"""The context of the running jobs, and the prefix that the next context inherits."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.context_planner import (
    SPARE_CELLS,
    ContextPlanner,
    ContextSize,
    cells_needed,
    round_up,
)
from llmtool.engine.llama.job import Job
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.prompt_cache.states import PrefixStates
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.llama.tokenizer import reuse_cached_tokens
from llmtool.engine.types import KVType, StreamProgress, common_prefix_length
from llmtool.errors import EngineError

_MAX_MISSING = 256  # tokens that `save_state` may compute

# The sequences of an earlier context, and the state of their prefix.
_Saved = tuple[Sequences, ctypes.Array[ctypes.c_uint8]]


class ContextManager:
    """Creates contexts for a loaded model; each inherits the shared prefix of the previous one.

    `max_parallel` is the maximum number of sequences to decode together. `reproducible` is whether
    the state of a context must not depend on other requests. `context_seconds` is how long the
    creation of the current context took. `progress` counts the tokens of the shared prefix.
    """

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_threads: int,
        max_parallel: int,
        reproducible: bool = False,
        kv_type: KVType,
        prefixes: PrefixStates,
        cancellation: Cancellation,
        progress: StreamProgress,
    ) -> None:
        self.max_parallel, self.reproducible = max_parallel, reproducible
        self.sequences: Sequences | None = None
        self.context_seconds = 0.0
        self._weights, self._prefixes = weights, prefixes
        self._n_threads, self._kv_type = n_threads, kv_type
        self._cancellation, self._progress = cancellation, progress
        self._saved: _Saved | None = None
        self._planner = ContextPlanner(weights, max_parallel=max_parallel, kv_type=kv_type)

    def close(self) -> None:
        self._saved = None
        self._close_context()

    def _close_context(self) -> None:
        if self.sequences is not None:
            self.sequences.context.close()
            self.sequences = None

    def ensure_context(self, waiting: Sequence[Job], *, is_all: bool) -> Sequences:
        """Return the sequences of a context for the waiting jobs, or at least the first.

        Call it while no job runs. The current context is reused if it is large enough, and
        otherwise replaced. If memory is short, the new context is smaller and fewer jobs run
        together. `is_all` is true if no more jobs follow.

        Raises:
            EngineError: not enough memory for the first job.
        """
        size = self._planner.plan(waiting, is_all=is_all)
        n_outputs = max(size.n_seq, *(job.n_outputs for job in waiting))
        swa_full = self._weights.has_sliding_window and (
            self.reproducible
            or len(waiting) > 1
            or not is_all
            or any(job.n_fixed or job.n_seq > 1 or job.keep for job in waiting)
        )
        if self.sequences is not None:
            have = self.sequences.context
            # Short requests need the short RoPE factors.
            is_too_long = have.uses_long_rope and size.n_cells_seq <= (
                self._weights.n_ctx_rope or 0
            )
            if (
                not is_too_long
                and have.separate_streams == size.separate_streams
                and have.n_ctx_seq >= size.n_cells_seq
                and have.n_seq >= size.n_seq
                and have.n_outputs >= n_outputs
                and have.swa_full >= swa_full
            ):
                return self.sequences
            if not is_too_long and not have.separate_streams:
                if self.sequences.prefix:  # for the next context with a pool
                    self._saved = self.sequences, have.save(0)
                if not size.separate_streams:  # avoid a smaller context than before
                    n_outputs, swa_full = max(n_outputs, have.n_outputs), swa_full or have.swa_full
                    size = ContextSize(max(size.n_cells, have.n_ctx), max(size.n_seq, have.n_seq))
            self._close_context()
        if any(job.keep for job in waiting):  # the next turn will be longer
            n_more = (self._weights.n_ctx_rope or 1 << 30) - size.n_cells
            n_more = max(0, min(SPARE_CELLS, size.n_cells, n_more))
            size = ContextSize(size.n_cells + n_more, size.n_seq)
        min_cells, min_seq = round_up(cells_needed(waiting[0])), 1 + waiting[0].n_seq
        while True:
            try:
                return self._create_context(size, n_outputs, swa_full)
            except EngineError:
                if size.n_cells <= min_cells and size.n_seq <= min_seq:
                    raise
            n_cells = max(min_cells, round_up(size.n_cells // 2))
            self._planner.max_cells = n_cells
            if size.separate_streams:
                size = self._planner.plan(waiting, is_all=is_all)
            else:
                size = ContextSize(n_cells, max(min_seq, size.n_seq // 2))

    def _restore_prefix(self) -> None:
        """Load the saved prefix into the current, new context."""
        assert self.sequences is not None
        if self._saved is None or self.sequences.context.separate_streams:
            return
        (before, state), self._saved = self._saved, None
        old, new = before.context, self.sequences.context
        if (old.uses_long_rope, old.swa_full) == (new.uses_long_rope, new.swa_full):
            self.sequences.continue_from(before, state)

    def _create_context(self, size: ContextSize, n_outputs: int, swa_full: bool) -> Sequences:
        self._planner.check_memory(size.n_cells, swa_full=swa_full)
        started = time.perf_counter()
        context = Context(
            self._weights,
            n_ctx=size.n_cells,
            n_threads=self._n_threads,
            n_seq=size.n_seq,
            separate_streams=size.separate_streams,
            n_outputs=n_outputs,
            kv_type=self._kv_type,
            swa_full=swa_full,
            cancellation=self._cancellation,
            progress=self._progress,
        )
        self.context_seconds = time.perf_counter() - started
        self.sequences = Sequences(context)
        self._restore_prefix()
        return self.sequences

    def compute_prefix(self, prefix: tuple[int, ...], *, n_fixed: int, keep: bool = False) -> int:
        """Make `prefix` the shared prefix; return how many of its tokens were cached.

        The first `n_fixed` tokens are loaded from the prompt cache on disk, or computed and stored
        there. They are computed in separate batches, so that a cache hit and a miss give the same
        text. After the stream, the first `n_fixed` tokens stay in the context or, with `keep`, the
        whole prefix.
        """
        sequences = self.sequences
        assert sequences is not None
        cached = sequences.trim_to_common(prefix)
        if not cached and n_fixed:
            head = prefix[:n_fixed]
            state = self._prefixes.load(head, sequences.context)
            if state is not None and sequences.restore(head, state):
                cached = len(head)
            else:
                sequences.extend_to(head)
                self._prefixes.store(head, sequences.context)
        if cached:
            self._progress.n_unread = max(0, self._progress.n_unread - cached)
        sequences.n_pinned = len(prefix) if keep else min(n_fixed, len(prefix))
        sequences.extend_to(prefix)
        if keep:
            sequences.save_checkpoint()
        return cached

    def restore_state(self, head: tuple[int, ...]) -> None:
        """Load a conversation from disk into the shared prefix, if the prefix is empty."""
        sequences = self.sequences
        if sequences is None or sequences.prefix or not head:
            return
        found = self._prefixes.load_conversation(head, sequences.context)
        if found is not None and sequences.restore(*found):
            sequences.n_pinned = len(sequences.prefix)
            sequences.save_checkpoint()

    def save_state(self, head: tuple[int, ...]) -> None:
        """Save a conversation to disk for `restore_state`, if most of it is in the context."""
        sequences = self.sequences
        if sequences is None:
            return
        tokens = reuse_cached_tokens(head, sequences.token_history, self._weights)
        if len(tokens) - common_prefix_length([sequences.prefix, tokens]) > _MAX_MISSING:
            return
        if sequences.trim_to_common(tokens) < len(tokens):
            sequences.extend_to(tokens)
        sequences.n_pinned = len(tokens)
        self._prefixes.store_conversation(head, tokens, sequences.context)

    def trim_to_prefix(self) -> None:
        """Drop everything after the pinned prefix at the end of a stream."""
        if self.sequences is not None:
            self.sequences.trim_to_prefix()
