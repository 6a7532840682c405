"""Divide batches fairly: chunks of prompts beside replies, and turns between LoRA adapters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from llmtool.engine.llama.context import ActiveAdapters

_MAX_GAP_SECONDS = 0.2  # between tokens of running replies, for a chunk of a prompt
_FIRST_CHUNK = 64  # tokens, until the speed is known
_MIN_CHUNK = 16
_TURN_STEPS = 8  # with the same adapters, while requests with others wait


class ChunkSize:
    """Chooses how many tokens of prompts to compute between two tokens of running replies.

    They take up to `_MAX_GAP_SECONDS`, or as long as the step itself, at the measured speed.

    Example:
        >>> chunks = ChunkSize()
        >>> chunks.measure(1.0, 500)
        >>> chunks.size(512, step_seconds=0.05)
        100
    """

    def __init__(self) -> None:
        self._token_seconds = 0.0

    def measure(self, seconds: float, n_tokens: int) -> None:
        """Learn from a batch that took `seconds` for `n_tokens` of prompts."""
        if n_tokens < _MIN_CHUNK or seconds <= 0:
            return
        last = self._token_seconds or seconds / n_tokens
        self._token_seconds = (last + seconds / n_tokens) / 2

    def size(self, n_batch: int, *, step_seconds: float) -> int:
        if not self._token_seconds:
            return min(_FIRST_CHUNK, n_batch)
        n_tokens = max(_MAX_GAP_SECONDS, step_seconds) / self._token_seconds
        return int(min(max(n_tokens, _MIN_CHUNK), n_batch))


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
