"""Check what an engine holds after a stream."""

from __future__ import annotations

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.sequences import Sequences


def assert_all_released(engine: LocalEngine) -> None:
    """Check that every sequence and cell is free or idle; then evict the idle ones."""
    sequences = engine.contexts.sequences
    if sequences is not None:  # None: all requests failed before any was started
        assert_consistent(sequences)
        assert sequences.n_free == sequences.context.n_seq
        sequences.evict_all()
        assert all(sequences.context.length(seq) == 0 for seq in range(sequences.context.n_seq))


def assert_consistent(sequences: Sequences) -> None:
    """Check that idle sequences contain their tokens, and free ones none; nothing is running."""
    context = sequences.context
    assert sequences.n_free_cells == context.n_ctx_seq
    lengths = dict.fromkeys(range(context.n_seq), 0)
    lengths |= {each.seq: each.length for each in sequences.idle}
    assert {seq: context.length(seq) for seq in range(context.n_seq)} == lengths
