"""Choose the size of the context for the waiting jobs: cells, sequences, separate streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.llama.devices import devices
from llmtool.engine.llama.job import Job
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import KVType, common_prefix_length
from llmtool.errors import EngineError
from llmtool.machine import memory_bytes

if TYPE_CHECKING:
    from llmtool.engine.llama.attention_cost import AttentionCost
    from llmtool.models.gguf.header import Header

LARGE_CTX = 16384  # check the free memory from this size on
CTX_STEP = 256  # sizes are multiples of it, so that similar prompts use the same context
SPARE_CELLS = 4096  # for later requests
_KV_BYTES = 4 << 30  # limit for requests that run together; a single request may need more
_RESERVE_BYTES = 128 << 20  # for later requests of a server, or
_RESERVE_SHARE = 4  # this part of the weights
_STATE_BYTES = 1 << 30  # limit for recurrent states, of which each sequence has one
_CHECKPOINTS = 6  # of a recurrent model; enough to undo three turns of a conversation
_MIN_STREAMS = 4  # fewer sequences would take longer than a pool of more
_MAX_WASTE = 3  # allocated cells per needed cell, if prompts differ in length
_USUAL_REPLY = 128  # tokens; most replies end before their limit


class ContextSize(msgspec.Struct, frozen=True):
    """Total cells, sequences, and whether each sequence has its own stream."""

    n_cells: int
    n_seq: int
    separate_streams: bool = False

    @property
    def n_cells_seq(self) -> int:
        """The number of cells that one sequence can use."""
        return self.n_cells // self.n_seq if self.separate_streams else self.n_cells


class ContextPlanner:
    """Chooses the size of the next context of a loaded model.

    `min_cells` is the smallest size, as far as memory allows: a larger context can replace another
    one only while nothing runs. `max_cells` is set after an allocation has failed.
    """

    def __init__(
        self, weights: LlamaModel, *, max_parallel: int, kv_type: KVType, min_cells: int = 0
    ) -> None:
        self._weights, self._max_parallel, self._kv_type = weights, max_parallel, kv_type
        self._min_cells = min_cells
        self.max_cells: int | None = None

    def plan(self, waiting: Sequence[Job], *, is_all: bool) -> ContextSize:
        """Return a size for running the waiting jobs together, or at least the first.

        `is_all` is true if no more jobs follow. Otherwise the size includes room for later ones.
        """
        return self._plan_streams(waiting, is_all) or self._plan_pool(waiting, is_all)

    def prefers_streams(self, jobs: Sequence[Job]) -> bool:
        """Return whether streams are faster than a pool for jobs that others like them follow."""
        return self._plan_streams(jobs, is_all=False) is not None

    def _plan_streams(self, waiting: Sequence[Job], is_all: bool) -> ContextSize | None:
        """Return a size with separate streams, if they are faster than a pool and memory is free.

        Each stream holds the longest request, so the requests of a batch must be known. On a GPU
        and for recurrent states, a pool is used: nothing was measured there.
        """
        jobs = waiting[: self._max_parallel]
        if len(jobs) < 2 or not (is_all or len(jobs) >= self._max_parallel // 2):
            return None
        if self._weights.requires_full_snapshots or self._has_gpu:
            return None
        if not all(job.can_use_own_stream for job in jobs):
            return None
        needs = [cells_needed(job) for job in jobs]
        longest = max(needs)
        n_cells = round_up(longest if is_all else longest * 5 // 4)  # longer jobs may follow
        if longest <= self._n_ctx_rope:
            n_cells = min(n_cells, self._n_ctx_rope // CTX_STEP * CTX_STEP)
        if longest > n_cells or n_cells * len(jobs) > _MAX_WASTE * sum(map(round_up, needs)):
            return None
        n_seq = 1 + (len(jobs) if is_all else self._max_parallel)
        n_seq = min(n_seq, self._weights.max_sequences, self._limit // n_cells)
        if n_seq - 1 < min(len(jobs), _MIN_STREAMS):
            return None
        from llmtool.engine.llama.attention_cost import Lengths

        shared = common_prefix_length([job.ids for job in jobs])
        requests = [
            Lengths(own=len(job.ids) - shared, reply=min(job.n_cells, _USUAL_REPLY)) for job in jobs
        ]
        cost = self._attention_cost
        if cost.pool(requests, shared=shared) < cost.streams(
            requests, shared=shared, n_cells=n_cells
        ):
            return None
        return ContextSize(n_cells * n_seq, n_seq, True)

    def _plan_pool(self, waiting: Sequence[Job], is_all: bool) -> ContextSize:
        """Return a size with one pool of cells for all sequences."""
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
        if any(job.keep for job in waiting):
            n_seq += _CHECKPOINTS * self._weights.requires_full_snapshots
        n_cells = max(n_cells, self.reserve)
        n_cells = min(n_cells, self._n_ctx_rope, self.max_cells or n_cells)
        if n_cells >= LARGE_CTX:
            n_cells = min(n_cells, self._limit)
        n_cells = max(n_cells, cells_needed(waiting[0]))
        if self._weights.requires_full_snapshots:
            from llmtool.models.gguf.memory import state_bytes

            n_seq = min(n_seq, _STATE_BYTES // max(1, state_bytes(self._header)))
        n_seq = max(1 + waiting[0].n_seq, min(n_seq, self._weights.max_sequences))
        return ContextSize(round_up(n_cells), n_seq)

    def check_memory(self, n_ctx: int, *, swa_full: bool) -> None:
        """Check that a large context fits in the free memory; else the system kills the process.

        Raises:
            EngineError: it does not fit; the message names the needed and the free memory.
        """
        if n_ctx < LARGE_CTX:
            return
        _, available = memory_bytes()
        if available is None or self._has_gpu:
            return
        from llmtool.models.gguf.memory import estimate

        memory = estimate(
            self._header, n_ctx=n_ctx, type_k=self._kv_type, type_v=self._kv_type, swa_full=swa_full
        )
        beside_weights = memory.kv + memory.state + memory.compute
        if beside_weights > available:
            raise EngineError(
                f"a context of {n_ctx:,} tokens needs {beside_weights / 1e9:.1f} GB of memory in "
                f"addition to the weights, but only {available / 1e9:.1f} GB are free; "
                "shorten the input or the reply"
            )

    @property
    def reserve(self) -> int:
        """The smallest number of cells, in memory that is small compared with the model's."""
        if not self._min_cells:
            return 0
        size = max(_RESERVE_BYTES, self._weights.size_bytes // _RESERVE_SHARE)
        return min(self._min_cells, size // max(1, self._step_bytes) * CTX_STEP, self._limit)

    @property
    def _step_bytes(self) -> int:
        from llmtool.models.gguf.memory import kv_bytes

        return kv_bytes(self._header, CTX_STEP, self._kv_type, self._kv_type)

    @property
    def _limit(self) -> int:
        """The maximum number of cells of requests that run together."""
        _, available = memory_bytes()
        share = min(available or _KV_BYTES, _KV_BYTES) // 2
        limit = share * CTX_STEP // max(1, self._step_bytes)
        return min(limit, self.max_cells or limit)

    @property
    def _n_ctx_rope(self) -> int:
        """The maximum context size with the short RoPE factors."""
        return self._weights.n_ctx_rope or 1 << 30

    @cached_property
    def _has_gpu(self) -> bool:
        return any(device.kind == "gpu" for device in devices())

    @cached_property
    def _attention_cost(self) -> AttentionCost:
        from llmtool.engine.llama.attention_cost import AttentionCost

        header = self._header
        return AttentionCost(
            n_heads=sum(header.head_count or ()),
            head_size=header.key_length or 64,
            cell_bytes=self._step_bytes / CTX_STEP,
            n_weights=header.n_params,
        )

    @cached_property
    def _header(self) -> Header:
        from llmtool.models.gguf.reader import read_header

        return read_header(self._weights.path)


def cells_needed(job: Job) -> int:
    """Return the number of cells that a job needs without a shared prefix."""
    return len(job.ids) + job.n_cells


def round_up(n_cells: int) -> int:
    return -(-n_cells // CTX_STEP) * CTX_STEP
