"""The choice between a pool and separate streams, compared with measurements."""

from __future__ import annotations

import pytest

from llmtool.engine.llama.attention_cost import AttentionCost, Lengths

STARTER = AttentionCost(n_heads=270, head_size=64, cell_bytes=23_040, n_weights=134_515_008)
GEMMA = AttentionCost(n_heads=72, head_size=256, cell_bytes=18_432, n_weights=268_098_176)
MIDDLE = AttentionCost(n_heads=336, head_size=64, cell_bytes=12_288, n_weights=494_032_768)


# Milliseconds of one core that streams save for a request with a reply of 16 tokens, as
# `benchmarks/streams.py` measured them.
@pytest.mark.parametrize(
    ("cost", "n", "shared", "own", "saved"),
    [
        (STARTER, 4, 40, 32, -3.1),
        (STARTER, 16, 0, 72, 9.8),
        (STARTER, 32, 40, 32, 4.5),
        (STARTER, 64, 40, 32, 45.6),
        (STARTER, 16, 500, 32, -40.6),
        (STARTER, 16, 500, 128, 52.9),
        (GEMMA, 4, 40, 32, -9.5),
        (GEMMA, 16, 0, 72, 5.8),
        (GEMMA, 64, 40, 32, 29.8),
        (GEMMA, 16, 500, 32, -33.7),
        (MIDDLE, 16, 0, 72, 12.5),
        (MIDDLE, 32, 40, 32, 4.1),
        (MIDDLE, 64, 40, 32, 59.6),
    ],
)
def test_estimates_are_close_to_measurements(
    cost: AttentionCost, n: int, shared: int, own: int, saved: float
) -> None:
    requests = [Lengths(own=own, reply=16)] * n
    n_cells = -(-(shared + own + 16) // 256) * 256
    estimate = cost.pool(requests, shared=shared)
    estimate -= cost.streams(requests, shared=shared, n_cells=n_cells)
    assert estimate / n / 1e6 == pytest.approx(saved, rel=0.65)


def test_longer_streams_cost_more_only_if_a_prefix_is_copied() -> None:
    requests = [Lengths(own=32, reply=16)] * 8
    costs = [STARTER.streams(requests, shared=n, n_cells=c) for n in (0, 40) for c in (256, 2048)]
    assert costs[0] == costs[1] and costs[2] < costs[3]
