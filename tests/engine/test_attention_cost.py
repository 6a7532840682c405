"""The choice between a pool and separate streams."""

from __future__ import annotations

import pytest

from llmtool.engine.llama.attention_cost import AttentionCost, Lengths

STARTER = AttentionCost(n_heads=270, head_size=64, cell_bytes=23_040, n_weights=134_515_008)
GEMMA = AttentionCost(n_heads=72, head_size=256, cell_bytes=18_432, n_weights=268_098_176)
MIDDLE = AttentionCost(n_heads=336, head_size=64, cell_bytes=12_288, n_weights=494_032_768)


# Time that streams save for a request, in ms of one core, as `benchmarks/streams.py` measured it.
@pytest.mark.parametrize(
    ("cost", "n", "shared", "own", "saved_ms"),
    [
        (STARTER, 4, 40, 32, -3.1),
        (STARTER, 16, 0, 72, 9.8),
        (STARTER, 32, 40, 32, 4.5),
        (STARTER, 64, 40, 32, 45.6),
    ],
)
def test_estimates_have_the_sign_of_the_measurement(
    cost: AttentionCost, n: int, shared: int, own: int, saved_ms: float
) -> None:
    requests = [Lengths(own=own, reply=16)] * n
    n_cells = -(-(shared + own + 16) // 256) * 256
    saved = cost.pool(requests, shared=shared)
    saved -= cost.streams(requests, shared=shared, n_cells=n_cells)
    assert saved / n / 1e6 == pytest.approx(saved_ms, rel=0.6)
