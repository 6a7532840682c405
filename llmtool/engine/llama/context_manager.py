"""The context of the running jobs, and the sequences that the next context inherits."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import ActiveAdapters, Context
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
from llmtool.engine.llama.sequences import SequenceCache, Sequences
from llmtool.engine.llama.tokenizer import reuse_cached_tokens
from llmtool.engine.types import KVType, StreamProgress
from llmtool.errors import EngineError

_MAX_MISSING = 256  # tokens that `save_state` may compute
_MIN_STARTED = 64  # requests that a pool runs before streams replace it
_MAX_LEFT = 64  # tokens of a reply that must end for that; others wait meanwhile


class ContextManager:
    """Creates contexts for a loaded model; each inherits the cached sequences of the previous one.

    `max_parallel` is the maximum number of sequences to decode together. `reproducible` is whether
    the state of a context must not depend on other requests. `context_seconds` is how long the
    creation of the current context took. `cache_bytes` limits cached sequences in
    host memory. `min_cells` is that of `ContextPlanner`.
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
        cache_bytes: int = 0,
        min_cells: int = 0,
        cancellation: Cancellation,
        progress: StreamProgress,
    ) -> None:
        self.max_parallel, self.reproducible = max_parallel, reproducible
        self.sequences: Sequences | None = None
        self.context_seconds = 0.0
        self._n_started = 0  # jobs in a row that could have had their own streams
        self._weights, self._prefixes = weights, prefixes
        self._n_threads, self._kv_type = n_threads, kv_type
        self._cancellation, self._progress = cancellation, progress
        self.cache = SequenceCache(limit_bytes=cache_bytes)
        self._planner = ContextPlanner(
            weights, max_parallel=max_parallel, kv_type=kv_type, min_cells=min_cells
        )

    def close(self) -> None:
        self.cache.entries.clear()
        self._close_context()

    def _close_context(self) -> None:
        if self.sequences is not None:
            self.sequences.evict_all()
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
            if have.separate_streams:  # jobs that fit run there, also if a pool was planned
                has_cells = all(
                    job.can_use_own_stream and cells_needed(job) <= have.n_ctx_seq
                    for job in waiting
                )
            else:
                has_cells = not size.separate_streams and have.n_ctx_seq >= size.n_cells
            if (
                has_cells
                and not is_too_long
                and have.n_seq >= size.n_seq
                and have.n_outputs >= n_outputs
                and have.swa_full >= swa_full
            ):
                return self.sequences
            if not (is_too_long or have.separate_streams or size.separate_streams):
                # Avoid a smaller context than before.
                n_outputs, swa_full = max(n_outputs, have.n_outputs), swa_full or have.swa_full
                size = ContextSize(max(size.n_cells, have.n_ctx), max(size.n_seq, have.n_seq))
            self._close_context()
        is_needed = size.n_cells > self._planner.reserve
        if is_needed and any(job.keep for job in waiting):  # the next turn will be longer
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

    def count_start(self, job: Job) -> None:
        """Count a job that starts in the current context."""
        self._n_started = self._n_started + 1 if job.can_use_own_stream else 0

    def should_replace_pool(self, running: Sequence[Job], waiting: Sequence[Job]) -> bool:
        """Return whether to start no job until the running ones end, and streams replace the pool.

        Requests that arrive over time begin in a pool, since streams need as many sequences as will
        run. A pool that is always busy would never be replaced.
        """
        if self.sequences is None or self.sequences.context.separate_streams or self.reproducible:
            return False
        return (
            self._n_started >= _MIN_STARTED
            and all(_count_left(job) <= _MAX_LEFT for job in running)
            and self._planner.prefers_streams([*running, *waiting])
        )

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
        self.sequences = Sequences(context, self.cache, keep_all=not self.reproducible)
        self._n_started = 0
        return self.sequences

    def load_prefix(self, tokens: tuple[int, ...], *, key: Hashable = None) -> bool:
        """Load the prefix of a template from disk; return False if it is not there."""
        sequences = self.sequences
        assert sequences is not None
        state = self._prefixes.load(tokens, sequences.context, key=key)
        return state is not None and sequences.add_state(tokens, state, key=key, is_prefix=True)

    def store_prefix(self, tokens: tuple[int, ...], seq: int, *, key: Hashable = None) -> None:
        """Store the prefix of a template, which a sequence has, on disk."""
        assert self.sequences is not None
        self._prefixes.store(tokens, self.sequences.context, seq, key=key)

    def restore_state(self, head: tuple[int, ...], *, key: Hashable = None) -> None:
        """Load a conversation from disk, unless it is cached already."""
        sequences = self.sequences
        if sequences is None or not head or sequences.find(head, key)[1] == len(head):
            return
        found = self._prefixes.load_conversation(head, sequences.context, key=key)
        if found is not None:
            sequences.add_state(*found, key=key)

    def save_state(
        self, head: tuple[int, ...], adapters: ActiveAdapters = ActiveAdapters()
    ) -> None:
        """Save a conversation to disk for `restore_state`, if most of it is cached."""
        sequences = self.sequences
        if sequences is None:
            return
        key = adapters.key
        best, source, length = head, *sequences.find(head, key)
        for history in sequences.histories(key):
            tokens = reuse_cached_tokens(head, history, self._weights)
            if tokens != head and (found := sequences.find(tokens, key))[1] > length:
                best, source, length = tokens, *found
        is_possible = sequences.n_free and sequences.has_cells(source, length, len(best))
        if len(best) - length > _MAX_MISSING or not is_possible:
            return
        seq, length = sequences.begin(source, length, n_cells=len(best))
        sequences.context.use_adapters(adapters)
        try:
            sequences.context.prefill(best[length:], seq=seq, pos=length)
        except BaseException:
            sequences.retire(seq, best, length=length, key=key, keep=True)
            sequences.recover()
            raise
        self._prefixes.store_conversation(head, best, sequences.context, seq, key=key)
        sequences.retire(seq, best, key=key, keep=True)

    def end_stream(self) -> None:
        """Drop what an interrupted decode may have changed; called after the jobs have stopped."""
        if self.sequences is not None:
            self.sequences.recover()


def _count_left(job: Job) -> int:
    """Return the most tokens that the longest reply of a job may still get."""
    left = (limit - length for length, limit in job.reply_lengths)
    return max(left, default=job.n_cells)
