"""What the scheduler sees of a request: tokens that are to be computed, rows that come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from llmtool.engine.llama.slots import Sequences
from llmtool.engine.types import Cancellation, Event, Scores


class Run:
    """Tokens on their way into a sequence.

    `every` asks for the logits after each token, otherwise after the last one alone. `at` counts
    the tokens that are computed.
    """

    __slots__ = ("at", "every", "pos", "seq", "tokens")

    def __init__(self, tokens: Sequence[int], *, seq: int, pos: int, every: bool = False) -> None:
        self.tokens, self.seq, self.pos, self.every = tokens, seq, pos, every
        self.at = 0


class Share(msgspec.Struct, frozen=True):
    """What the shared prefix gives a request.

    `n_tokens` of its prompt are there, of which `n_cached` were not computed for it; `began` is the
    `time.perf_counter()` at which its prefill began.
    """

    n_tokens: int
    n_cached: int
    began: float


class Job(Protocol):
    """A request that has been read: what it needs, and what is running for it.

    `ids` are the tokens of its prompt, shape (n_tokens,), of which the first `n_fixed` are the
    template's. It needs `n_cells` cells beyond its prompt and `n_seq` sequences to begin, and asks
    for up to `n_outputs` rows of logits at once. One that `keeps` leaves them in sequence 0.
    """

    id: int
    ids: tuple[int, ...]
    n_fixed: int
    n_seq: int
    n_outputs: int
    keeps: bool
    runs: list[Run]
    cancellation: Cancellation | None

    @property
    def n_cells(self) -> int: ...

    @property
    def n_choices(self) -> int:
        """How many sequences it can keep busy."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether a part of it waits for sequences or cells."""
        ...

    @property
    def may_stand_apart(self) -> bool:
        """Whether it needs one sequence from its beginning to its end."""
        ...

    def respell(self, held: Sequence[int]) -> None:
        """Spell the prompt as what is held, where the text is the same; it `keeps`."""
        ...

    def start(self, sequences: Sequences, share: Share) -> None:
        """Begin with what is left of the prompt."""
        ...

    def resume(self) -> Iterator[Event | Scores]:
        """Begin what has waited, as far as there is room."""
        ...

    def receive(self, run: Run, rows: range) -> Iterator[Event | Scores]:
        """Take the logits of the last tokens of a run; what is next is in `runs`."""
        ...

    def stop(self) -> None:
        """Give back all that it holds."""
        ...
