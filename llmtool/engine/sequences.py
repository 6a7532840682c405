"""Who holds which sequence and how many cells of a context; the prefix that requests share.

Cells are admitted, not hoped for: what runs has reserved all that it can come to need.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.engine.context import Context


class Sequences:
    """The sequences of one context. Id 0 holds the shared prefix.

    `prefix` are the tokens of sequence 0, which stay there when the requests that shared them are
    gone. `n_free` counts the cells that nobody has reserved.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.prefix: tuple[int, ...] = ()
        self._free = list(range(context.n_seq - 1, 0, -1))
        self._reserved = 0

    @property
    def n_free(self) -> int:
        return self.context.n_ctx - self._reserved

    @property
    def n_idle(self) -> int:
        """How many sequences can be taken."""
        return len(self._free)

    def take(self) -> int:
        return self._free.pop()

    def give_back(self, seq: int) -> None:
        """Forget what a sequence holds; its cells that others share stay."""
        self.context.drop(seq)
        self._free.append(seq)

    def reserve(self, n_cells: int) -> None:
        self._reserved += n_cells

    def release(self, n_cells: int) -> None:
        self._reserved -= n_cells

    def begin_with(self, prefix: tuple[int, ...]) -> int:
        """Shorten the shared prefix to what it has in common with `prefix`; return its length.

        Where the memory keeps whole states only, nothing is left of a longer one.
        """
        length = common_length([self.prefix, prefix])
        if length < len(self.prefix):
            if length == 0 or not self.context.truncate(0, length):
                self.forget_prefix()
            self._set(self.prefix[:length])
        return len(self.prefix)

    def extend_to(self, prefix: Sequence[int]) -> None:
        """Compute the rest of a shared prefix that begins with the present one.

        Raises:
            Cancelled, EngineError: from the decoding.
        """
        done = len(self.prefix)
        try:
            self.context.prefill(prefix[done:], seq=0, pos=done)
        except BaseException:
            self.forget_prefix()  # who knows how much of it is there
            raise
        self._set(tuple(prefix))

    def restore(self, prefix: Sequence[int], state: bytearray) -> bool:
        """Fill the shared prefix, now empty, from a saved state; False if it is refused."""
        done = self.context.restore(0, state) and self.context.length(0) == len(prefix)
        if done:
            self._set(tuple(prefix))
        else:
            self.context.drop(0)
        return done

    def forget_prefix(self) -> None:
        self.context.drop(0)
        self._set(())

    def clear(self) -> None:
        """Forget everything, also what an interrupted decode has left."""
        self.context.clear()
        self.prefix, self._reserved = (), 0
        self._free = list(range(self.context.n_seq - 1, 0, -1))

    def _set(self, prefix: tuple[int, ...]) -> None:
        self._reserved += len(prefix) - len(self.prefix)
        self.prefix = prefix


def common_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """Return how many first items all sequences share.

    Example:
        >>> common_length([(1, 2, 3), (1, 2, 4), (1, 2)])
        2
    """
    shortest, longest = min(sequences), max(sequences)
    for i, item in enumerate(shortest):
        if i >= len(longest) or item != longest[i]:
            return i
    return len(shortest)
