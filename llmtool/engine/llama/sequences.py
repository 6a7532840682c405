"""Allocate the sequences and cells of a context, and manage the shared prefix.

A job reserves all the cells that it may need before it starts. Memories that cannot be truncated
(recurrent models) use copies of earlier states as checkpoints.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from llmtool.engine.llama.context import Context
from llmtool.engine.types import common_prefix_length


class Sequences:
    """The sequences of one context. Sequence 0 is the shared prefix.

    `prefix` are the tokens of sequence 0. The first `n_pinned` of them stay after the stream.
    `token_history` is the prefix and, after `promote`, the last token of the reply, which was
    sampled but not computed.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.prefix: tuple[int, ...] = ()
        self.token_history: tuple[int, ...] = ()
        self.n_pinned = 0
        self._free = list(range(context.n_seq - 1, 0, -1))
        self._n_reserved = 0
        # Copies of the prefix at earlier lengths: (length, sequence), shortest first.
        self._checkpoints: list[tuple[int, int]] = []

    @property
    def n_free_cells(self) -> int:
        """The number of unreserved cells, or of cells in one stream with separate streams."""
        return self.context.n_ctx_seq - (0 if self.context.separate_streams else self._n_reserved)

    @property
    def n_free(self) -> int:
        """The number of sequences that can be acquired."""
        return len(self._free) + len(self._checkpoints)

    def acquire(self) -> int:
        if not self._free:
            self._drop_checkpoint()
        seq = min(self._free)
        self._free.remove(seq)
        return seq

    def free(self, seq: int) -> None:
        """Release a sequence; cells that other sequences share stay."""
        self.context.drop(seq)
        self._free.append(seq)

    def move(self, seq: int) -> int:
        """Move a sequence to the lowest free id; return that id."""
        target = self.acquire()
        self.context.copy(seq, target)
        self.free(seq)
        return target

    def reserve_cells(self, n_cells: int) -> None:
        self._n_reserved += n_cells

    def release_cells(self, n_cells: int) -> None:
        self._n_reserved -= n_cells

    def trim_to_common(self, prefix: tuple[int, ...]) -> int:
        """Truncate the shared prefix to the part that `prefix` begins with; return its length.

        A memory that cannot be truncated is restored from the last checkpoint within that part.
        """
        length = common_prefix_length([self.prefix, prefix])
        if length < len(self.prefix):
            while self._checkpoints and self._checkpoints[-1][0] > length:
                self._drop_checkpoint(last=True)
            if length == 0 or not self.context.truncate(0, length):
                length = self._restore_checkpoint()
            self._set_prefix(self.prefix[:length])
        return len(self.prefix)

    def _restore_checkpoint(self) -> int:
        self.context.drop(0)
        if not self._checkpoints:
            return 0
        length, seq = self._checkpoints[-1]
        self.context.copy(seq, 0)
        return length

    def extend_to(self, prefix: Sequence[int]) -> None:
        """Extend the shared prefix to `prefix`, which begins with it.

        Raises:
            Cancelled, EngineError: see `Context.prefill`. The previous prefix stays if the memory
                can be truncated; otherwise it is dropped.
        """
        n_before = len(self.prefix)
        try:
            self.context.prefill(prefix[n_before:], seq=0, pos=n_before)
        except BaseException:
            if self._requires_full_snapshots or not self.context.truncate(0, n_before):
                self.drop_prefix()
            raise
        self._set_prefix(tuple(prefix))

    def restore(
        self, prefix: Sequence[int], state: bytearray | ctypes.Array[ctypes.c_uint8]
    ) -> bool:
        """Load a state into the empty shared prefix; return False if its length is wrong."""
        done = self.context.restore(0, state) and self.context.length(0) == len(prefix)
        if done:
            self._set_prefix(tuple(prefix))
        else:
            self.context.drop(0)
        return done

    def continue_from(
        self, before: Sequences, state: bytearray | ctypes.Array[ctypes.c_uint8]
    ) -> None:
        """Start with the prefix of an earlier context, given its saved state."""
        if self.restore(before.prefix, state):
            self.token_history, self.n_pinned = before.token_history, before.n_pinned
            self.save_checkpoint()

    def promote(self, seq: int, tokens: tuple[int, ...], *, n_computed: int) -> None:
        """Make a sequence that extends the prefix the new prefix.

        The sequence has the first `n_computed` of `tokens`, which become the token history.
        """
        self.context.drop(0)
        self.context.copy(seq, 0)
        self._set_prefix(tokens[:n_computed])
        self.token_history, self.n_pinned = tokens, n_computed
        self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Save a checkpoint of the prefix, if the memory cannot be truncated."""
        length = len(self.prefix)
        exists = bool(self._checkpoints) and self._checkpoints[-1][0] == length
        if not self._requires_full_snapshots or exists or not length:
            return
        if len(self._free) < 2:  # reserve one for the next job
            if not self._checkpoints:
                return
            self._drop_checkpoint()
        seq = self._free.pop()
        self.context.copy(0, seq)
        self._checkpoints.append((length, seq))

    def _drop_checkpoint(self, *, last: bool = False) -> None:
        _, seq = self._checkpoints.pop(-1 if last else 0)
        self.free(seq)

    def drop_prefix(self) -> None:
        while self._checkpoints:
            self._drop_checkpoint()
        self.context.drop(0)
        self.n_pinned = 0
        self._set_prefix(())

    def trim_to_prefix(self) -> None:
        """Drop everything after the pinned prefix; called while no job runs."""
        if self.context.was_interrupted:
            self._recover()
        elif self.n_pinned < len(self.prefix) and self.n_pinned:
            self.trim_to_common(self.prefix[: self.n_pinned])
        elif not self.n_pinned:
            self.drop_prefix()

    def _recover(self) -> None:
        """Drop everything that a failed decode may have changed.

        A decode never overwrites keys and values of the prefix, but may overwrite recurrent states.
        """
        self.context.was_interrupted = False
        pinned = self.prefix[: self.n_pinned]
        if pinned and not self._requires_full_snapshots:
            for seq in range(1, self.context.n_seq):
                self.context.drop(seq)
            if self.trim_to_common(pinned) and self.context.length(0) == len(pinned):
                return
        self.reset()

    def reset(self) -> None:
        """Drop all sequences, also those of an interrupted decode."""
        self.context.clear()
        self.prefix = self.token_history = ()
        self._n_reserved = self.n_pinned = 0
        self._checkpoints = []
        self._free = list(range(self.context.n_seq - 1, 0, -1))

    @property
    def _requires_full_snapshots(self) -> bool:
        return self.context.weights.requires_full_snapshots

    def _set_prefix(self, prefix: tuple[int, ...]) -> None:
        self._n_reserved += len(prefix) - len(self.prefix)
        self.prefix = self.token_history = prefix
