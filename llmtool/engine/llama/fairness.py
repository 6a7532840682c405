"""Divide batches fairly: chunks of prompts beside replies, and turns between LoRA adapters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec

from llmtool.engine.llama.context import ActiveAdapters

_MAX_GAP_SECONDS = 0.2  # between tokens of running replies, for a chunk of a prompt
_FIRST_CHUNK = 64  # tokens, until the speed is known
_MIN_CHUNK = 16
_DECAY = 0.9  # of the weight of a step with each later one of its kind
_RIDGE = 0.01  # tokens squared: steps that are all alike have a solution too
_TURN_STEPS = 8  # with the same adapters, while requests with others wait


class ChunkSize:
    """Chooses how many tokens of prompts to compute between two tokens of running replies.

    They take up to `_MAX_GAP_SECONDS`, or as long as the step itself. A step takes a time for each
    token of a prompt and one for each reply, which a least-squares fit of recent steps tells apart.

    Example:
        >>> chunks = ChunkSize()
        >>> chunks.measure(0.05, n_read=0, n_replies=10)
        >>> chunks.measure(1.05, n_read=500, n_replies=10)
        >>> chunks.size(512, n_replies=10)
        100
    """

    def __init__(self) -> None:
        self._decode = _Sums()
        self._prefill = _Sums()  # apart, so that a long reply leaves them

    def measure(self, seconds: float, *, n_read: int, n_replies: int) -> None:
        """Learn from a step with `n_read` tokens of prompts and a token of each of `n_replies`."""
        (self._prefill if n_read else self._decode).add(seconds, n_read, n_replies)

    def size(self, n_batch: int, *, n_replies: int) -> int:
        """Return the number of tokens to compute beside `n_replies`, at most `n_batch`."""
        if not self._prefill.read_read:
            return min(_FIRST_CHUNK, n_batch)
        per_token, per_reply = self._decode.plus(self._prefill).solve()
        if per_token <= 0:  # too fast to be measured
            return n_batch
        n_tokens = max(_MAX_GAP_SECONDS, per_reply * n_replies) / per_token
        return round(min(max(n_tokens, _MIN_CHUNK), n_batch))


class _Sums(msgspec.Struct):
    """Sums of products over steps, of which recent ones count more."""

    read_read: float = 0.0
    read_replies: float = 0.0
    replies_replies: float = 0.0
    read_seconds: float = 0.0
    replies_seconds: float = 0.0

    def add(self, seconds: float, n_read: int, n_replies: int) -> None:
        self.read_read = _DECAY * self.read_read + n_read * n_read
        self.read_replies = _DECAY * self.read_replies + n_read * n_replies
        self.replies_replies = _DECAY * self.replies_replies + n_replies * n_replies
        self.read_seconds = _DECAY * self.read_seconds + n_read * seconds
        self.replies_seconds = _DECAY * self.replies_seconds + n_replies * seconds

    def plus(self, other: _Sums) -> _Sums:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return _Sums(*(a + b for a, b in pairs))

    def solve(self) -> tuple[float, float]:
        """Return the seconds of a token of a prompt and of a reply that fit the steps best."""
        a, b, c = self.read_read + _RIDGE, self.read_replies, self.replies_replies + _RIDGE
        determinant = a * c - b * b
        return (
            (self.read_seconds * c - self.replies_seconds * b) / determinant,
            (self.replies_seconds * a - self.read_seconds * b) / determinant,
        )


class AdapterTurns:
    """Chooses the adapters of each batch.

    A turn has several steps, as a change of adapters takes time. The next turn is that of the
    adapters whose last turn was the longest ago.

    Example:
        >>> from llmtool.engine.llama.context import ActiveAdapters
        >>> law, code = (ActiveAdapters(key=((name, 1.0),)) for name in ("law", "code"))
        >>> turns = AdapterTurns()
        >>> "".join(turns.next([law, code]).key[0][0][0] for _ in range(20))
        'llllllllccccccccllll'
    """

    def __init__(self) -> None:
        self.current = ActiveAdapters()
        self._n_steps = self._started = 0
        self._last: dict[Hashable, int] = {}  # the step of the last turn, by key

    def next(self, ready: Sequence[ActiveAdapters]) -> ActiveAdapters:
        """Return the adapters of the next batch, given those of each job that is ready."""
        self._n_steps += 1
        others = [each for each in ready if each.key != self.current.key]
        has_turn = self._n_steps - self._started < _TURN_STEPS
        if others and not (has_turn and len(others) < len(ready)):
            self._last[self.current.key] = self._started = self._n_steps
            self.current = min(others, key=lambda each: self._last.get(each.key, 0))
        return self.current
