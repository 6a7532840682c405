"""Ended sequences are reused, evicted and restored with their exact contents, for any memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.released import assert_consistent

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sequences import SequenceCache, Sequences

QS = tuple(b"q" * 40)  # ids of a byte-level vocabulary
OTHER = tuple(b"the tokens of another conversation")
KINDS = ["plain", "swa", "recurrent", "hybrid"]


@pytest.fixture(params=KINDS)
def context(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> Iterator[Context]:
    weights = LlamaModel(tiny_model(request.param), n_gpu_layers=0, cancellation=Cancellation())
    made = Context(
        weights, n_ctx=256, n_threads=1, n_seq=3, n_batch=16, cancellation=Cancellation()
    )
    yield made
    made.close()
    weights.close()


def make_sequences(context: Context, *, limit_bytes: int = 1 << 20) -> Sequences:
    return Sequences(context, SequenceCache(limit_bytes=limit_bytes))


def serve(sequences: Sequences, tokens: tuple[int, ...], *, keep: bool = True) -> int:
    """Compute the tokens of a request and end it; return how many were cached."""
    source, length = sequences.find(tokens)
    seq, length = sequences.begin(source, length, n_cells=len(tokens) + 5)
    sequences.context.prefill(tokens[length:], seq=seq, pos=length)
    assert sequences.context.length(seq) == len(tokens)
    sequences.retire(seq, tokens, keep=keep)
    assert_consistent(sequences)
    return length


@pytest.mark.parametrize("n_common", [25, 40])
def test_request_continues_the_longest_common_prefix(context: Context, n_common: int) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS[:20])
    serve(sequences, QS)
    is_whole = context.can_truncate or n_common == 40
    assert serve(sequences, QS[:n_common] + OTHER) == (n_common if is_whole else 20)


def test_other_conversation_returns_from_host_memory(context: Context) -> None:
    sequences = make_sequences(context)
    conversations = [tuple(f"{i} is a conversation".encode()) for i in range(5)]
    for tokens in conversations:
        assert serve(sequences, tokens) == 0
    for tokens in conversations:
        assert serve(sequences, tokens + OTHER) == len(tokens)


def test_beginning_of_a_saved_state_is_not_used_without_its_sliding_window(
    context: Context,
) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS)
    sequences.evict_all()
    n_swa = context.weights.n_swa
    can_truncate = context.can_truncate and not n_swa
    assert n_swa in (0, 32)
    assert sequences.find(QS[:30] + OTHER)[1] == (30 if can_truncate else 0)
    assert sequences.find(QS + OTHER)[1] == 40
    assert serve(sequences, QS + OTHER) == 40
    # The same after it was loaded, until the window is complete again.
    assert sequences.find(QS[:30] + OTHER)[1] == (30 if can_truncate else 0)
    assert sequences.find(QS + OTHER[:20])[1] == (60 if context.can_truncate else 40)


def test_sequence_of_another_key_is_not_used(context: Context) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS)
    assert sequences.find(QS, "adapter") == (None, 0)
    assert sequences.histories("adapter") == []


def test_half_shared_conversation_is_copied_not_truncated(context: Context) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS[:20] + OTHER)
    serve(sequences, QS[:20] + tuple(b"zz"))
    assert serve(sequences, QS[:20] + OTHER + QS) == 20 + len(OTHER)


@pytest.mark.parametrize("n_states", [1, 2])
def test_states_in_host_memory_stay_within_their_limit(context: Context, n_states: int) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS)
    sequences.evict_all()
    size = sequences.cache.size_bytes
    sequences = make_sequences(context, limit_bytes=n_states * size)
    for i in range(4):
        serve(sequences, tuple(f"{i}".encode()) + QS[1:])
        sequences.evict_all()
        assert sequences.cache.size_bytes <= n_states * size
    found = [sequences.find(tuple(f"{i}".encode()) + QS[1:])[1] for i in range(4)]
    assert found == [0] * (4 - n_states) + [40] * n_states


@pytest.mark.parametrize("n_wanted", [39, 40, 41])
def test_state_of_the_wrong_length_is_rejected(context: Context, n_wanted: int) -> None:
    sequences = make_sequences(context)
    seq = sequences.acquire()
    context.prefill(QS, seq=seq)
    state = bytearray(context.save(seq))
    sequences.free(seq)
    wanted = (*QS, ord("q"))[:n_wanted]
    assert sequences.add_state(wanted, state) == (n_wanted == 40)
    assert sequences.histories() == ([wanted] if n_wanted == 40 else [])
    assert_consistent(sequences)


def test_cancelled_request_keeps_what_it_computed(context: Context) -> None:
    sequences = make_sequences(context)
    seq, _ = sequences.begin(None, 0, n_cells=60)
    context.prefill(QS, seq=seq)
    sequences.retire(seq, QS + OTHER, length=40, keep=True)
    assert_consistent(sequences)
    assert serve(sequences, QS + OTHER) == 40


def test_freed_sequence_is_empty(context: Context) -> None:
    sequences = make_sequences(context)
    seq = sequences.acquire()
    context.prefill(QS, seq=seq)
    sequences.free(seq)
    assert_consistent(sequences)


def test_cells_that_sequences_share_are_counted_once(context: Context) -> None:
    sequences = make_sequences(context)
    seq, _ = sequences.begin(None, 0, n_cells=100)
    assert sequences.n_free_cells == 156
    copy = sequences.acquire(seq, length=40, n_cells=20)
    assert sequences.n_free_cells == 136
    sequences.free(seq)
    assert sequences.n_free_cells == 196
    sequences.free(copy)
    assert sequences.n_free_cells == 256


def test_idle_sequences_make_room(context: Context) -> None:
    sequences = make_sequences(context)
    for i in range(2):
        serve(sequences, (*QS, i), keep=False)
    assert sequences.has_cells(None, 0, 256)
    sequences.begin(None, 0, n_cells=256)
    assert sequences.n_free_cells == 0


def test_interrupted_decode_keeps_keys_and_values_only(context: Context) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS)
    seq, _ = sequences.begin(None, 0, n_cells=60)
    context.prefill(OTHER, seq=seq)
    context.was_interrupted = True
    sequences.retire(seq, OTHER, length=20, keep=True)
    sequences.recover()
    assert not context.was_interrupted
    found = [sequences.find(each)[1] for each in (QS, OTHER)]
    # Recurrent states are lost, except those in host memory.
    assert found == ([40, 20] if context.can_truncate else [0, 0])
    assert_consistent(sequences)


def test_reset_empties_the_context(context: Context) -> None:
    sequences = make_sequences(context)
    serve(sequences, QS)
    context.prefill(QS, seq=sequences.acquire())
    sequences.reset()
    assert sequences.idle == [] and sequences.n_free == 3
    assert_consistent(sequences)
