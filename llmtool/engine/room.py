"""How large a context the waiting requests need, and what it keeps between them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from functools import cached_property

from llmtool.engine.context import Context
from llmtool.engine.devices import devices
from llmtool.engine.jobs import Job
from llmtool.engine.machine import memory_bytes
from llmtool.engine.prefix_states import PrefixStates
from llmtool.engine.prompt_tokens import rejoin
from llmtool.engine.sequences import Sequences, common_length
from llmtool.engine.types import Cancellation, KVType
from llmtool.engine.weights import Weights
from llmtool.errors import EngineError
from llmtool.models.header import Header
from llmtool.models.memory import estimate, kv_bytes, state_bytes
from llmtool.models.reader import read_header

LARGE_CTX = 16384  # from here on memory is looked at first; smaller ones take less than a check
CTX_STEP = 256  # contexts are made in steps, so that a batch of like prompts shares one
_KV_BYTES = 4 << 30  # at the most, for requests that run together; one alone may take more
_SPARE_CELLS = 4096  # for requests that are still to come
_STATE_BYTES = 1 << 30  # of recurrent layers, which have one for each sequence
_FEWEST_APART = 4  # sequences
_CELLS_APART = 4096  # of prompts, beyond what they share
_UNEVEN = 3  # how many times the cells that are needed may be taken
_CHECKPOINTS = 6  # of such a model's states: a conversation goes back three turns at once
_MAX_MISSING = 256  # tokens that are computed to put a longer state on disk

# The sequences of an earlier context, and the state of their prefix.
_Carried = tuple[Sequences, ctypes.Array[ctypes.c_uint8]]


class Room:
    """Makes contexts and remembers the present one, for a loaded model.

    `context_seconds` is what making it took.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        n_threads: int,
        max_parallel: int,
        kv_type: KVType,
        prefixes: PrefixStates,
        cancellation: Cancellation,
    ) -> None:
        self.sequences: Sequences | None = None
        self.context_seconds = 0.0
        self._weights, self._prefixes = weights, prefixes
        self._n_threads, self._max_parallel, self._kv_type = n_threads, max_parallel, kv_type
        self._cancellation = cancellation
        self._max_cells: int | None = None  # what memory was found to be too short for

    def close(self) -> None:
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
        apart = self._plan_apart(waiting, is_all=is_all)
        if apart is not None:
            found = self._make_apart(apart)
            if found is not None:
                return found
        n_cells, n_seq = self._plan(waiting, is_all=is_all)
        n_outputs = max(n_seq, *(job.n_outputs for job in waiting))
        swa_full = self._weights.has_window and (
            len(waiting) > 1
            or not is_all
            or any(job.n_fixed or job.n_seq > 1 or job.keeps for job in waiting)
        )
        carried = None
        if self.sequences is not None:
            have = self.sequences.context
            if have.apart or self._is_too_long(have, n_cells):
                self.close()
            elif (
                have.n_ctx >= n_cells
                and have.n_seq >= n_seq
                and have.n_outputs >= n_outputs
                and have.swa_full >= swa_full
            ):
                return self.sequences
            else:  # what comes may be like what was
                n_seq, n_outputs = max(n_seq, have.n_seq), max(n_outputs, have.n_outputs)
                n_cells, swa_full = max(n_cells, have.n_ctx), swa_full or have.swa_full
                carried = self._carry(swa_full)
                self.close()
        if any(job.keeps for job in waiting):  # it will be longer next time
            n_more = min(_SPARE_CELLS, n_cells, (self._weights.n_ctx_rope or 1 << 30) - n_cells)
            n_cells += max(0, n_more)
        least_cells, least_seq = _round_up(need(waiting[0])), 1 + waiting[0].n_seq
        while True:
            try:
                return self._make_context(n_cells, n_seq, n_outputs, swa_full, carried)
            except EngineError:
                if n_cells <= least_cells and n_seq <= least_seq:
                    raise
            n_cells = self._max_cells = max(least_cells, _round_up(n_cells // 2))
            n_seq = max(least_seq, n_seq // 2)

    def _plan_apart(self, waiting: Sequence[Job], *, is_all: bool) -> tuple[int, int] | None:
        """Return (cells of a sequence, sequences) where they had better stand apart.

        That is where prompts are long beyond what they share: attention passes over the cells of
        all sequences of a pool, and takes longer over them than the batch saves.
        """
        jobs = waiting[: self._max_parallel]
        if len(jobs) < _FEWEST_APART or self._weights.keeps_whole_states or self._has_gpu:
            return None
        if not all(job.may_stand_apart for job in jobs):
            return None
        shared = common_length([job.ids for job in jobs])
        if sum(len(job.ids) - shared for job in jobs) < _CELLS_APART:
            return None
        needs = [need(job) for job in jobs]
        longest = max(needs)
        spare = 0 if is_all else longest // 4  # for those that are still to come
        rope = self._weights.n_ctx_rope
        if rope is not None and longest <= rope:
            spare = min(spare, rope // CTX_STEP * CTX_STEP - longest)
        n_cells = _round_up(longest + max(0, spare))
        n_seq = 1 + (len(jobs) if is_all else self._max_parallel)
        n_seq = min(n_seq, self._weights.max_sequences, self._limit() // n_cells)
        if n_seq <= _FEWEST_APART or n_cells * len(jobs) > _UNEVEN * sum(needs):
            return None
        return n_cells, n_seq

    def _make_apart(self, plan: tuple[int, int]) -> Sequences | None:
        """Return sequences that stand apart, or None if memory is short."""
        n_cells, n_seq = plan
        if self.sequences is not None:
            have = self.sequences.context
            fits = have.n_ctx_seq >= n_cells and have.n_seq >= n_seq
            if have.apart and fits and not self._is_too_long(have, n_cells):
                return self.sequences
            self.close()
        try:
            return self._make_context(n_cells * n_seq, n_seq, 1, True, apart=True)
        except EngineError:
            return None

    def _is_too_long(self, have: Context, n_cells: int) -> bool:
        """Whether a context has rope factors for long requests, and short ones are to come."""
        return have.is_long and n_cells <= (self._weights.n_ctx_rope or 0)

    @cached_property
    def _has_gpu(self) -> bool:
        return any(device.kind == "gpu" for device in devices())

    @cached_property
    def _header(self) -> Header:
        return read_header(self._weights.path)

    def _plan(self, waiting: Sequence[Job], *, is_all: bool) -> tuple[int, int]:
        """Return how many cells and sequences would serve the waiting jobs together."""
        n_cells = n_parallel = 0
        n_seq = 1  # the shared prefix
        for job in waiting:
            choices = min(job.n_choices, self._max_parallel - n_parallel)
            if choices < 1:
                break
            n_parallel += choices
            n_cells += len(job.ids) + choices * job.n_cells
            n_seq += job.n_seq + choices - 1
        if not is_all and n_parallel < self._max_parallel:
            n_more = self._max_parallel - n_parallel
            n_cells += min(_SPARE_CELLS, n_more * n_cells // n_parallel)
            n_seq += n_more
        if any(job.keeps for job in waiting):
            n_seq += _CHECKPOINTS * self._weights.keeps_whole_states
        n_cells = min(n_cells, self._weights.n_ctx_rope or n_cells, self._max_cells or n_cells)
        if n_cells >= LARGE_CTX:
            n_cells = min(n_cells, self._limit())
        n_cells = max(n_cells, need(waiting[0]))
        if self._weights.keeps_whole_states:
            n_seq = min(n_seq, _STATE_BYTES // max(1, state_bytes(self._header)))
        n_seq = max(1 + waiting[0].n_seq, min(n_seq, self._weights.max_sequences))
        return _round_up(n_cells), n_seq

    def _limit(self) -> int:
        """Return how many cells several requests may share."""
        _, available = memory_bytes()
        share = min(available or _KV_BYTES, _KV_BYTES) // 2
        step_bytes = kv_bytes(self._header, CTX_STEP, self._kv_type, self._kv_type)
        return share * CTX_STEP // max(1, step_bytes)

    def _carry(self, swa_full: bool) -> _Carried | None:
        """Return what the present context keeps, for a larger one to begin with."""
        sequences = self.sequences
        if sequences is None or not sequences.prefix or sequences.context.swa_full != swa_full:
            return None
        return sequences, sequences.context.save(0)

    def _make_context(
        self,
        n_cells: int,
        n_seq: int,
        n_outputs: int,
        swa_full: bool,
        carried: _Carried | None = None,
        *,
        apart: bool = False,
    ) -> Sequences:
        if n_cells >= LARGE_CTX:
            self._check_memory(n_cells, swa_full)
        started = time.perf_counter()
        context = Context(
            self._weights,
            n_ctx=n_cells,
            n_threads=self._n_threads,
            n_seq=n_seq,
            apart=apart,
            n_outputs=n_outputs,
            kv_type=self._kv_type,
            swa_full=swa_full,
            cancellation=self._cancellation,
        )
        self.context_seconds = time.perf_counter() - started
        self.sequences = Sequences(context)
        if carried is not None:
            before, state = carried
            if before.context.is_long == context.is_long:
                self.sequences.go_on_from(before, state)
        return self.sequences

    def _check_memory(self, n_ctx: int, swa_full: bool) -> None:
        """Refuse a context that would not fit, which the system would answer by killing us.

        Raises:
            EngineError: with what is needed and what is there.
        """
        _, available = memory_bytes()
        if available is None or self._has_gpu:
            return
        memory = estimate(
            self._header, n_ctx=n_ctx, type_k=self._kv_type, type_v=self._kv_type, swa_full=swa_full
        )
        beside_weights = memory.kv + memory.state + memory.compute
        if beside_weights > available:
            raise EngineError(
                f"a context of {n_ctx} tokens needs {beside_weights / 1e9:.1f} GB of memory beside "
                f"the weights, {available / 1e9:.1f} GB are free: shorten the input or the reply"
            )

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
        if len(spelled) - common_length([sequences.prefix, spelled]) > _MAX_MISSING:
            return
        if sequences.begin_with(spelled) < len(spelled):
            sequences.extend_to(spelled)
        sequences.n_kept = len(spelled)
        self._prefixes.remember(head, spelled, sequences.context)

    def leave(self) -> None:
        """Keep nothing in the memory but what is to be kept, for the next stream."""
        if self.sequences is not None:
            self.sequences.leave()


def need(job: Job) -> int:
    """Return the cells that a job needs where it shares nothing."""
    return len(job.ids) + job.n_cells


def _round_up(n_cells: int) -> int:
    return -(-n_cells // CTX_STEP) * CTX_STEP
