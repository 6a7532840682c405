"""Who holds which sequence and how many cells of a context; the prefix that requests share.

Cells are admitted, not hoped for: what runs has reserved all that it can come to need. Where the
memory keeps whole states alone, copies of earlier ones (checkpoints) are there to go back to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from llmtool.engine.llama.context import Context
from llmtool.engine.types import common_prefix_length


class Sequences:
    """The sequences of one context. Id 0 holds the shared prefix.

    `prefix` are the tokens of sequence 0, of which the first `n_kept` stay there when the requests
    that shared them are gone. `spoken` goes on with the last token of a reply, which was chosen and
    not computed.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.prefix: tuple[int, ...] = ()
        self.spoken: tuple[int, ...] = ()
        self.n_kept = 0
        self._free = list(range(context.n_seq - 1, 0, -1))
        self._reserved = 0
        # Of beginnings of the prefix: how long each is and who holds it, shortest first.
        self._checkpoints: list[tuple[int, int]] = []

    @property
    def n_free(self) -> int:
        """How many cells nobody has reserved; where sequences stand apart, those of one of them."""
        return self.context.n_ctx_seq - (0 if self.context.apart else self._reserved)

    @property
    def n_idle(self) -> int:
        """How many sequences can be taken."""
        return len(self._free) + len(self._checkpoints)

    def take(self) -> int:
        if not self._free:
            self._forget_checkpoint()
        seq = min(self._free)
        self._free.remove(seq)
        return seq

    def give_back(self, seq: int) -> None:
        """Forget what a sequence holds; its cells that others share stay."""
        self.context.drop(seq)
        self._free.append(seq)

    def move(self, seq: int) -> int:
        """Let the first free sequence hold what another one held; return it."""
        target = self.take()
        self.context.copy(seq, target)
        self.give_back(seq)
        return target

    def reserve(self, n_cells: int) -> None:
        self._reserved += n_cells

    def release(self, n_cells: int) -> None:
        self._reserved -= n_cells

    def begin_with(self, prefix: tuple[int, ...]) -> int:
        """Shorten the shared prefix to what it has in common with `prefix`; return its length.

        Where the memory keeps whole states only, it goes back to the last checkpoint within.
        """
        length = common_prefix_length([self.prefix, prefix])
        if length < len(self.prefix):
            while self._checkpoints and self._checkpoints[-1][0] > length:
                self._forget_checkpoint(last=True)
            if length == 0 or not self.context.truncate(0, length):
                length = self._go_back()
            self._set(self.prefix[:length])
        return len(self.prefix)

    def _go_back(self) -> int:
        self.context.drop(0)
        if not self._checkpoints:
            return 0
        length, seq = self._checkpoints[-1]
        self.context.copy(seq, 0)
        return length

    def extend_to(self, prefix: Sequence[int]) -> None:
        """Compute the rest of a shared prefix that begins with the present one.

        Raises:
            Cancelled, EngineError: from the decoding; what was there before stays, where the
                memory can tell it from what has come.
        """
        done = len(self.prefix)
        try:
            self.context.prefill(prefix[done:], seq=0, pos=done)
        except BaseException:
            if self._keeps_whole_states or not self.context.truncate(0, done):
                self.forget_prefix()
            raise
        self._set(tuple(prefix))

    def restore(
        self, prefix: Sequence[int], state: bytearray | ctypes.Array[ctypes.c_uint8]
    ) -> bool:
        """Fill the shared prefix, now empty, from a saved state; False if it is refused."""
        done = self.context.restore(0, state) and self.context.length(0) == len(prefix)
        if done:
            self._set(tuple(prefix))
        else:
            self.context.drop(0)
        return done

    def go_on_from(
        self, before: Sequences, state: bytearray | ctypes.Array[ctypes.c_uint8]
    ) -> None:
        """Begin with the prefix of an earlier context, whose state was saved."""
        if self.restore(before.prefix, state):
            self.spoken, self.n_kept = before.spoken, before.n_kept
            self.mark()

    def adopt(self, seq: int, spoken: tuple[int, ...], *, n_held: int) -> None:
        """Make what another sequence holds, which began with the prefix, the prefix itself.

        It holds the first `n_held` of the tokens that were spoken.
        """
        self.context.drop(0)
        self.context.copy(seq, 0)
        self._set(spoken[:n_held])
        self.spoken, self.n_kept = spoken, n_held
        self.mark()

    def mark(self) -> None:
        """Keep the present state of the prefix as a checkpoint, where one cannot shorten it."""
        length = len(self.prefix)
        is_there = bool(self._checkpoints) and self._checkpoints[-1][0] == length
        if not self._keeps_whole_states or is_there or not length:
            return
        if len(self._free) < 2:  # one is for who comes next
            if not self._checkpoints:
                return
            self._forget_checkpoint()
        seq = self._free.pop()
        self.context.copy(0, seq)
        self._checkpoints.append((length, seq))

    def _forget_checkpoint(self, *, last: bool = False) -> None:
        _, seq = self._checkpoints.pop(-1 if last else 0)
        self.give_back(seq)

    def forget_prefix(self) -> None:
        while self._checkpoints:
            self._forget_checkpoint()
        self.context.drop(0)
        self.n_kept = 0
        self._set(())

    def leave(self) -> None:
        """Keep nothing but what is to be kept of the prefix; nothing runs any more."""
        if self.context.was_interrupted:
            self._recover()
        elif self.n_kept < len(self.prefix) and self.n_kept:
            self.begin_with(self.prefix[: self.n_kept])
        elif not self.n_kept:
            self.forget_prefix()

    def _recover(self) -> None:
        """Trust nothing that a failed decode may have touched.

        Keys and values of the prefix are never written again; a recurrent state may have been.
        """
        self.context.was_interrupted = False
        kept = self.prefix[: self.n_kept]
        if kept and not self._keeps_whole_states:
            for seq in range(1, self.context.n_seq):
                self.context.drop(seq)
            if self.begin_with(kept) and self.context.length(0) == len(kept):
                return
        self.clear()

    def clear(self) -> None:
        """Forget everything, also what an interrupted decode has left."""
        self.context.clear()
        self.prefix = self.spoken = ()
        self._reserved = self.n_kept = 0
        self._checkpoints = []
        self._free = list(range(self.context.n_seq - 1, 0, -1))

    @property
    def _keeps_whole_states(self) -> bool:
        return self.context.weights.keeps_whole_states

    def _set(self, prefix: tuple[int, ...]) -> None:
        self._reserved += len(prefix) - len(self.prefix)
        self.prefix = self.spoken = prefix
