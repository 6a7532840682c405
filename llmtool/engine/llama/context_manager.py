"""The context of the running requests, and what it keeps between them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.context_planner import (
    SPARE_CELLS,
    ContextPlanner,
    ContextSize,
    need,
    round_up,
)
from llmtool.engine.llama.job import Job
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.prompt_cache.states import PrefixStates
from llmtool.engine.llama.slots import Sequences
from llmtool.engine.llama.tokenizer import rejoin
from llmtool.engine.types import Cancellation, KVType, common_prefix_length
from llmtool.errors import EngineError

_MAX_MISSING = 256  # tokens that are computed to put a longer state on disk

# The sequences of an earlier context, and the state of their prefix.
_Aside = tuple[Sequences, ctypes.Array[ctypes.c_uint8]]


class ContextManager:
    """Makes contexts and remembers the present one, for a loaded model.

    `max_parallel` is how many sequences are decoded together, and `context_seconds` what making
    the present context took.
    """

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_threads: int,
        max_parallel: int,
        kv_type: KVType,
        prefixes: PrefixStates,
        cancellation: Cancellation,
    ) -> None:
        self.max_parallel = max_parallel
        self.sequences: Sequences | None = None
        self.context_seconds = 0.0
        self._weights, self._prefixes = weights, prefixes
        self._n_threads, self._kv_type = n_threads, kv_type
        self._cancellation = cancellation
        self._aside: _Aside | None = None
        self._planner = ContextPlanner(weights, max_parallel=max_parallel, kv_type=kv_type)

    def close(self) -> None:
        self._aside = None
        self._close_context()

    def _close_context(self) -> None:
        if self.sequences is not None:
            self.sequences.context.close()
            self.sequences = None

    def make(self, waiting: Sequence[Job], *, is_all: bool) -> Sequences:
        """Return the sequences of a context that serves the waiting jobs, or the first of them.

        The present context is taken if it is large enough, and grows otherwise. Called while
        nothing runs. Where memory is short, fewer run at once. `is_all` says that nothing comes
        after these jobs; room is made for as many as can run otherwise.

        Raises:
            EngineError: not even the first job has room.
        """
        shape = self._planner.plan(waiting, is_all=is_all)
        n_outputs = max(shape.n_seq, *(job.n_outputs for job in waiting))
        swa_full = self._weights.has_window and (
            len(waiting) > 1
            or not is_all
            or any(job.n_fixed or job.n_seq > 1 or job.keeps for job in waiting)
        )
        if self.sequences is not None:
            have = self.sequences.context
            is_too_long = have.is_long and shape.n_cells_seq <= (self._weights.n_ctx_rope or 0)
            if (
                not is_too_long  # short requests have rope factors of their own
                and have.apart == shape.apart
                and have.n_ctx_seq >= shape.n_cells_seq
                and have.n_seq >= shape.n_seq
                and have.n_outputs >= n_outputs
                and have.swa_full >= swa_full
            ):
                return self.sequences
            if not is_too_long and not have.apart:
                self._put_aside()
                if not shape.apart:  # what comes may be like what was
                    n_outputs, swa_full = max(n_outputs, have.n_outputs), swa_full or have.swa_full
                    shape = ContextSize(
                        max(shape.n_cells, have.n_ctx), max(shape.n_seq, have.n_seq)
                    )
            self._close_context()
        if any(job.keeps for job in waiting):  # it will be longer next time
            n_more = (self._weights.n_ctx_rope or 1 << 30) - shape.n_cells
            n_more = max(0, min(SPARE_CELLS, shape.n_cells, n_more))
            shape = ContextSize(shape.n_cells + n_more, shape.n_seq)
        least_cells, least_seq = round_up(need(waiting[0])), 1 + waiting[0].n_seq
        while True:
            try:
                return self._make_context(shape, n_outputs, swa_full)
            except EngineError:
                if shape.n_cells <= least_cells and shape.n_seq <= least_seq:
                    raise
            n_cells = max(least_cells, round_up(shape.n_cells // 2))
            self._planner.max_cells = n_cells
            if shape.apart:
                shape = self._planner.plan(waiting, is_all=is_all)
            else:
                shape = ContextSize(n_cells, max(least_seq, shape.n_seq // 2))

    def _put_aside(self) -> None:
        """Save what the present context keeps, for the next one with a pool to begin with."""
        sequences = self.sequences
        if sequences is not None and sequences.prefix:
            self._aside = sequences, sequences.context.save(0)

    def _take_back(self) -> None:
        """Let the present context, which is new, begin with what was put aside."""
        assert self.sequences is not None
        if self._aside is None or self.sequences.context.apart:
            return
        (before, state), self._aside = self._aside, None
        old, new = before.context, self.sequences.context
        if (old.is_long, old.swa_full) == (new.is_long, new.swa_full):
            self.sequences.go_on_from(before, state)

    def _make_context(self, shape: ContextSize, n_outputs: int, swa_full: bool) -> Sequences:
        self._planner.check_memory(shape.n_cells, swa_full=swa_full)
        started = time.perf_counter()
        context = Context(
            self._weights,
            n_ctx=shape.n_cells,
            n_threads=self._n_threads,
            n_seq=shape.n_seq,
            apart=shape.apart,
            n_outputs=n_outputs,
            kv_type=self._kv_type,
            swa_full=swa_full,
            cancellation=self._cancellation,
        )
        self.context_seconds = time.perf_counter() - started
        self.sequences = Sequences(context)
        self._take_back()
        return self.sequences

    def fill_prefix(self, wanted: tuple[int, ...], *, n_fixed: int, keep: bool = False) -> int:
        """Compute the shared prefix, alone; return how many of its tokens came for nothing.

        The first `n_fixed` tokens are a template's and come from the prefix cache, or go there.
        They are computed in batches of their own, so that a hit and a miss give the same text, and
        stay for the next stream, as the whole prefix does to `keep`.
        """
        sequences = self.sequences
        assert sequences is not None
        cached = sequences.begin_with(wanted)
        if not cached and n_fixed:
            head = wanted[:n_fixed]
            state = self._prefixes.load(head, sequences.context)
            if state is not None and sequences.restore(head, state):
                cached = len(head)
            else:
                sequences.extend_to(head)
                self._prefixes.store(head, sequences.context)
        sequences.n_kept = len(wanted) if keep else min(n_fixed, len(wanted))
        sequences.extend_to(wanted)
        if keep:
            sequences.mark()
        return cached

    def recall(self, head: tuple[int, ...]) -> None:
        """Fill the shared prefix, where nothing is in it, with a conversation from disk."""
        sequences = self.sequences
        if sequences is None or sequences.prefix or not head:
            return
        found = self._prefixes.recall(head, sequences.context)
        if found is not None and sequences.restore(*found):
            sequences.n_kept = len(sequences.prefix)
            sequences.mark()

    def remember(self, head: tuple[int, ...]) -> None:
        """Put a kept conversation on disk for `recall`, unless too much of it is missing."""
        sequences = self.sequences
        if sequences is None:
            return
        spelled = rejoin(head, sequences.spoken, self._weights)
        if len(spelled) - common_prefix_length([sequences.prefix, spelled]) > _MAX_MISSING:
            return
        if sequences.begin_with(spelled) < len(spelled):
            sequences.extend_to(spelled)
        sequences.n_kept = len(spelled)
        self._prefixes.remember(head, spelled, sequences.context)

    def leave(self) -> None:
        """Keep nothing in the memory but what is to be kept, for the next stream."""
        if self.sequences is not None:
            self.sequences.leave()
