"""Estimate the time of attention on a CPU: in one pool of cells, or in separate streams.

Facts about llama.cpp (llama-kv-cache.cpp, llama-batch.cpp, ggml-cpu/ops.cpp):

- In a pool, a token's mask hides the cells of other sequences, but the mask is scanned.
- If a stream has 64 or more tokens in a batch, tiles of 64 tokens and 64 cells are multiplied. A
  tile takes less time per cell, but is skipped only if none of its tokens sees any of its cells.
- All streams of a batch must have equally many tokens, so llama.cpp divides batches, and a prompt
  is computed in a batch of its own.
- Copying a sequence to another stream copies all cells of the stream, also empty ones.

`benchmarks/streams.py` measures the constants and compares the estimates.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.engine.llama.context import TILE

# Nanoseconds on one core for one token and one cell, in one head: a fixed part, and one per value.
_VISIT = (5.3, 0.167)  # a cell that the token sees
_VISIT_CACHED = (7.0, 0.09)  # the same if it is in the processor's cache, as for tokens in a row
_TILED = (3.0, 0.031)  # a cell in a tile
_SKIP = (0.5, 0.0)  # a cell that its mask hides
# Nanoseconds on one core.
_COPY = 0.2  # per byte copied to another stream
_BATCH = 0.004  # per weight, for one more batch: as long as half a token


class Lengths(msgspec.Struct, frozen=True):
    """The tokens of one request: its own part of the prompt, and its reply."""

    own: int
    reply: int


class AttentionCost(msgspec.Struct, frozen=True):
    """Estimates for a model with `n_heads` query heads of `head_size` in all layers together.

    `cell_bytes` is the size of a cell in all layers. The estimates are the nanoseconds, on one
    core, of requests that run together after a common prefix of `shared` tokens.

    Example:
        cost = AttentionCost(n_heads=270, head_size=64, cell_bytes=23_040, n_weights=134_515_008)
        requests = [Lengths(own=32, reply=16)] * 32
        assert cost.streams(requests, shared=40, n_cells=256) < cost.pool(requests, shared=40)
    """

    n_heads: int
    head_size: int
    cell_bytes: float
    n_weights: int

    def pool(self, requests: Sequence[Lengths], *, shared: int) -> float:
        n_cells = shared + sum(each.own + each.reply / 2 for each in requests)
        total = 0.0
        for each in requests:
            n_seen = each.own + each.reply / 2
            skipped = self._ns(_SKIP) * (n_cells - shared - n_seen)
            if len(requests) < TILE:
                decode = self._ns(_VISIT_CACHED) * shared + self._ns(_VISIT) * n_seen + skipped
            else:
                decode = self._ns(_TILED) * n_cells
            prefill = self._ns(_TILED) * (shared + max(each.own, TILE)) + skipped
            total += each.own * prefill + each.reply * decode
        return total

    def streams(self, requests: Sequence[Lengths], *, shared: int, n_cells: int) -> float:
        """Return the time in streams of `n_cells`, including copies of the prefix."""
        total = 0.0
        for each in requests:
            decode = self._ns(_VISIT) * (shared + each.own + each.reply / 2)
            if each.own < TILE:
                prefill = self._ns(_VISIT_CACHED) * (shared + each.own / 2)
            else:
                prefill = self._ns(_TILED) * (shared + each.own)
            total += each.own * prefill + each.reply * decode
        copies = n_cells * self.cell_bytes * _COPY if shared else 0
        return total + len(requests) * (copies + self.n_weights * _BATCH)

    def _ns(self, part: tuple[float, float]) -> float:
        """Return the time for one token and one cell, in all heads."""
        return self.n_heads * (part[0] + part[1] * self.head_size)
