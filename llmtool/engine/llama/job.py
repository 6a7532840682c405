"""The interface between scheduler and requests: tokens to compute, and the rows of logits."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Protocol

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import ActiveAdapters
from llmtool.engine.llama.draft import Draft
from llmtool.engine.llama.sequences import CachedSequence, Sequences
from llmtool.engine.types import Event, Scores


class TokenRun:
    """Tokens to append to a sequence at position `pos`; the first `at` are already computed.

    With `every`, each token gives a row of logits; otherwise only the last one does. A run of a
    reply has its last token, and drafted tokens after it.
    """

    __slots__ = ("at", "every", "pos", "seq", "tokens")

    def __init__(self, tokens: Sequence[int], *, seq: int, pos: int, every: bool = False) -> None:
        self.tokens, self.seq, self.pos, self.every = tokens, seq, pos, every
        self.at = 0

    @property
    def next_draft(self) -> int:
        """The token after the first `at`, or -1."""
        return self.tokens[self.at] if self.at < len(self.tokens) else -1


class PrefixMatch(msgspec.Struct, frozen=True):
    """The part of a prompt that a cached sequence begins with.

    It has `n_tokens` tokens, of which `n_cached` were computed before this request. `started_at` is
    the `time.perf_counter()` at the start of the prefill.
    """

    source: CachedSequence | None
    n_tokens: int
    n_cached: int
    started_at: float


class Job(Protocol):
    """A validated request and its state while it runs.

    `ids` are the tokens of the prompt, shape (n_tokens,); the first `n_fixed` come from the
    template. A job needs `n_cells` cells in addition to its prompt, `n_seq` sequences to start, up
    to `n_choices` sequences at once, and up to `n_outputs` rows of logits per batch. With `keep`,
    prompt and reply stay cached. `key` is what their state depends on besides the tokens: the LoRA
    adapters. Only jobs with the same key share a prefix or a batch.
    `can_use_own_stream` is true if it needs one sequence only, `can_share_prefix` unless it needs
    the logits of the whole prompt.
    """

    id: int
    ids: tuple[int, ...]
    n_fixed: int
    n_cells: int
    n_seq: int
    n_outputs: int
    n_choices: int
    keep: bool
    adapters: ActiveAdapters
    key: Hashable
    can_use_own_stream: bool
    can_share_prefix: bool
    runs: list[TokenRun]
    cancellation: Cancellation | None

    @property
    def is_waiting(self) -> bool:
        """Whether some of its choices wait for sequences or cells."""
        ...

    @property
    def reply_lengths(self) -> Iterator[tuple[int, int]]:
        """The length of each reply in progress and its maximum, in tokens."""
        ...

    def reuse_cached_tokens(self, histories: Sequence[Sequence[int]]) -> None:
        """Replace ids of the prompt by cached ids of the same text; called for jobs with `keep`."""
        ...

    def start(self, sequences: Sequences, match: PrefixMatch) -> None:
        """Start with the part of the prompt that is not cached."""
        ...

    def resume(self) -> Iterator[Event | Scores]:
        """Start waiting choices, as far as sequences and cells allow."""
        ...

    def receive(self, run: TokenRun, rows: range) -> Iterator[Event | Scores]:
        """Use the rows of logits of a run's last tokens, and update `runs`."""
        ...

    def draft(self, run: TokenRun, *, n_running: int) -> Draft | None:
        """Return the likely tokens after a run's only token, or None; the job changes nothing."""
        ...

    def stop(self) -> None:
        """Release all sequences."""
        ...
