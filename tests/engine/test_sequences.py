"""The shared prefix always equals the contents of sequence 0, also after failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sequences import Sequences

QS = tuple(b"q" * 40)  # ids of a byte-level vocabulary


class InterruptedContext(Context):
    """A context that is interrupted after `n_decodes` batches."""

    n_decodes = -1

    def decode(self) -> None:
        self.n_decodes -= 1
        super().decode()
        if self.n_decodes == 0:
            raise KeyboardInterrupt


@pytest.fixture(params=["plain", "swa", "recurrent", "hybrid"])
def context(
    request: pytest.FixtureRequest, tiny_model: Callable[..., Path]
) -> Iterator[InterruptedContext]:
    weights = LlamaModel(tiny_model(request.param), n_gpu_layers=0, cancellation=Cancellation())
    cancellation = Cancellation()
    made = InterruptedContext(
        weights, n_ctx=256, n_threads=1, n_seq=3, n_batch=16, cancellation=cancellation
    )
    yield made
    made.close()
    weights.close()


def assert_consistent(sequences: Sequences) -> None:
    assert sequences.context.length(0) == len(sequences.prefix)
    assert sequences.n_free_cells == sequences.context.n_ctx - len(sequences.prefix)


@pytest.mark.parametrize("n_common", [0, 25, 40])
def test_trim_to_common_truncates_the_memory(context: Context, n_common: int) -> None:
    sequences = Sequences(context)
    sequences.extend_to(QS)
    wanted = QS[:n_common] + tuple(b"wwwww")
    n_cached = sequences.trim_to_common(wanted)
    assert n_cached == (
        n_common if n_common == 40 or not context.weights.requires_full_snapshots else 0
    )
    assert sequences.prefix == wanted[:n_cached]
    assert_consistent(sequences)
    sequences.extend_to(wanted)
    assert_consistent(sequences)


@pytest.mark.parametrize("n_wanted", [39, 40, 41])
def test_state_of_the_wrong_length_is_rejected(context: Context, n_wanted: int) -> None:
    sequences = Sequences(context)
    sequences.extend_to(QS)
    state = bytearray(context.save(0))
    sequences.drop_prefix()
    wanted = (*QS, ord("q"))[:n_wanted]
    assert sequences.restore(wanted, state) == (n_wanted == 40)
    assert sequences.prefix == (wanted if n_wanted == 40 else ())
    assert_consistent(sequences)


def test_interrupted_prefix_is_unchanged_or_dropped(context: InterruptedContext) -> None:
    sequences = Sequences(context)
    sequences.extend_to(QS[:5])
    context.n_decodes = 2
    with pytest.raises(KeyboardInterrupt):
        sequences.extend_to(QS)
    assert sequences.prefix == (() if context.weights.requires_full_snapshots else QS[:5])
    assert_consistent(sequences)


def test_freed_sequence_is_empty(context: Context) -> None:
    sequences = Sequences(context)
    seq = sequences.acquire()
    context.prefill(QS, seq=seq)
    sequences.free(seq)
    assert (sequences.n_free, context.length(seq)) == (2, 0)


def test_reset_drops_everything(context: Context) -> None:
    sequences = Sequences(context)
    sequences.extend_to(QS)
    context.prefill(QS, seq=sequences.acquire())
    sequences.reserve_cells(60)
    sequences.reset()
    assert sequences.prefix == ()
    assert sequences.n_free == 2
    assert [context.length(seq) for seq in range(3)] == [0, 0, 0]
    assert_consistent(sequences)


def test_recovery_after_an_interrupted_decode_drops_the_other_sequences(context: Context) -> None:
    sequences = Sequences(context)
    sequences.extend_to(QS)
    sequences.n_pinned = len(QS)
    context.prefill(b"other", seq=sequences.acquire())
    context.was_interrupted = True
    sequences.trim_to_prefix()
    assert not context.was_interrupted
    assert sequences.prefix == (() if context.weights.requires_full_snapshots else QS)
    assert [context.length(seq) for seq in range(3)] == [len(sequences.prefix), 0, 0]
