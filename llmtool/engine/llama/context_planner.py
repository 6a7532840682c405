"""How large a context the waiting requests need, and whether its sequences stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from llmtool.engine.llama.devices import devices
from llmtool.engine.llama.job import Job
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import KVType, common_prefix_length
from llmtool.errors import EngineError
from llmtool.machine import memory_bytes
from llmtool.models.gguf.header import Header
from llmtool.models.gguf.memory import estimate, kv_bytes, state_bytes
from llmtool.models.gguf.reader import read_header

LARGE_CTX = 16384  # from here on memory is looked at first; smaller ones take less than a check
CTX_STEP = 256  # contexts are made in steps, so that a batch of like prompts shares one
SPARE_CELLS = 4096  # for requests that are still to come
_KV_BYTES = 4 << 30  # at the most, for requests that run together; one alone may take more
_STATE_BYTES = 1 << 30  # of recurrent layers, which have one for each sequence
_CHECKPOINTS = 6  # of such a model's states: a conversation goes back three turns at once
_FEWEST_APART = 4  # sequences
_CELLS_APART = 4096  # of prompts, beyond what they share
_UNEVEN = 3  # how many times the cells that are needed may be taken


class ContextSize(msgspec.Struct, frozen=True):
    """What a context is made for: cells in all, sequences, and whether these stand `apart`."""

    n_cells: int
    n_seq: int
    apart: bool = False

    @property
    def n_cells_seq(self) -> int:
        """What one sequence may come to."""
        return self.n_cells // self.n_seq if self.apart else self.n_cells


class ContextPlanner:
    """Finds the shape of the next context of a loaded model.

    `max_cells` is what memory was found to be too short for.
    """

    def __init__(self, weights: LlamaModel, *, max_parallel: int, kv_type: KVType) -> None:
        self._weights, self._max_parallel, self._kv_type = weights, max_parallel, kv_type
        self.max_cells: int | None = None

    def plan(self, waiting: Sequence[Job], *, is_all: bool) -> ContextSize:
        """Return a shape that serves the waiting jobs together, or the first of them.

        `is_all` says that nothing comes after them; there is room for as many as can run otherwise.
        """
        return self._apart(waiting, is_all) or self._pool(waiting, is_all)

    def _apart(self, waiting: Sequence[Job], is_all: bool) -> ContextSize | None:
        """Return a shape for prompts that are long beyond what they share.

        In a pool attention passes over the cells of all others, and takes longer over them than
        the batch saves.
        """
        jobs = waiting[: self._max_parallel]
        if len(jobs) < _FEWEST_APART or self._weights.keeps_whole_states or self._has_gpu:
            return None
        if not all(job.may_stand_apart for job in jobs):
            return None
        shared = common_prefix_length([job.ids for job in jobs])
        if sum(len(job.ids) - shared for job in jobs) < _CELLS_APART:
            return None
        needs = [need(job) for job in jobs]
        longest = max(needs)
        n_cells = round_up(longest if is_all else longest * 5 // 4)  # longer ones may come
        if longest <= self._n_ctx_rope:
            n_cells = min(n_cells, self._n_ctx_rope // CTX_STEP * CTX_STEP)
        if longest > n_cells or n_cells * len(jobs) > _UNEVEN * sum(needs):
            return None
        n_seq = 1 + (len(jobs) if is_all else self._max_parallel)
        n_seq = min(n_seq, self._weights.max_sequences, self._limit // n_cells)
        return ContextSize(n_cells * n_seq, n_seq, True) if n_seq > _FEWEST_APART else None

    def _pool(self, waiting: Sequence[Job], is_all: bool) -> ContextSize:
        """Return a shape in which sequences share all cells."""
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
            n_cells += min(SPARE_CELLS, n_more * n_cells // n_parallel)
            n_seq += n_more
        if any(job.keeps for job in waiting):
            n_seq += _CHECKPOINTS * self._weights.keeps_whole_states
        n_cells = min(n_cells, self._n_ctx_rope, self.max_cells or n_cells)
        if n_cells >= LARGE_CTX:
            n_cells = min(n_cells, self._limit)
        n_cells = max(n_cells, need(waiting[0]))
        if self._weights.keeps_whole_states:
            n_seq = min(n_seq, _STATE_BYTES // max(1, state_bytes(self._header)))
        n_seq = max(1 + waiting[0].n_seq, min(n_seq, self._weights.max_sequences))
        return ContextSize(round_up(n_cells), n_seq)

    def check_memory(self, n_ctx: int, *, swa_full: bool) -> None:
        """Refuse a context that would not fit, which the system would answer by killing us.

        Raises:
            EngineError: with what is needed and what is there.
        """
        if n_ctx < LARGE_CTX:
            return
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

    @property
    def _limit(self) -> int:
        """How many cells several requests may share."""
        _, available = memory_bytes()
        share = min(available or _KV_BYTES, _KV_BYTES) // 2
        step_bytes = kv_bytes(self._header, CTX_STEP, self._kv_type, self._kv_type)
        limit = share * CTX_STEP // max(1, step_bytes)
        return min(limit, self.max_cells or limit)

    @property
    def _n_ctx_rope(self) -> int:
        """From which length on a model has other rope factors."""
        return self._weights.n_ctx_rope or 1 << 30

    @cached_property
    def _has_gpu(self) -> bool:
        return any(device.kind == "gpu" for device in devices())

    @cached_property
    def _header(self) -> Header:
        return read_header(self._weights.path)


def need(job: Job) -> int:
    """Return the cells that a job needs where it shares nothing."""
    return len(job.ids) + job.n_cells


def round_up(n_cells: int) -> int:
    return -(-n_cells // CTX_STEP) * CTX_STEP
