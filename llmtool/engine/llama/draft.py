"""Speculative decoding: verify likely next tokens of replies in one batch.

A drafted token costs a part of a step, and saves a whole one if it is right. The sampler of the
reply samples each position from its row, in order, and stops at the first token that differs from
the draft. So drafts change neither tokens nor seeds, penalties and constraints, as far as the rows
of a batch equal those of single steps.

Source: Leviathan et al., ICML 2023, for the expected number of tokens. But: sampled tokens are
compared with the draft instead of their distributions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from llmtool.engine.llama.prompt_lookup import PromptLookup

MAX_DRAFT = 15  # tokens per reply and step
_MIN_GAIN = 1.1  # of the expected speed, as estimates are not exact
# Assumed seconds of a step by its tokens, relative to one token: the highest of Q4_1 and Q4_K_M
# with two threads and AVX-512, and those of Q4_0, repacked for batches, with one thread.
_ASSUMED = {1: 1.0, 2: 3.2, 4: 3.9, 8: 5.2, 12: 7.0, 16: 9.4}
_ASSUMED_Q4_0 = {1: 1.0, 2: 2.3, 4: 3.0, 8: 4.6, 12: 6.1, 16: 6.8}
_PER_TOKEN = 0.6  # beyond 16
_MAX_LOSS, _MAX_LOSS_PER_TOKEN = 4.5, 0.01  # of a reply, in steps of one token
_N_SAMPLES, _MIN_SAMPLES = 9, 3
_TOO_SLOW = 1.25  # of the assumed cost, as times vary
_PROBE_EVERY = 200  # steps
_FIRST_PAUSE, _LONGEST_PAUSE = 16, 1024  # tokens without the draft model after it was wrong
_ASSUMED_CHANCE, _WEIGHT = 0.9, 2.0  # of a token of the draft model, so that it is tried
_FORCED_CHANCE = 0.97  # of a token of forced text, which may have other tokens


class Draft(msgspec.Struct, frozen=True):
    """The likely next tokens of a reply.

    `chances` are the probabilities that the first, the first two, … tokens are right.
    """

    tokens: Sequence[int]
    chances: Sequence[float]


class DraftModel(Protocol):
    """A model that predicts tokens; see `SmallModel`."""

    def load(self) -> object: ...

    def cost_per_token(self, target_seconds: float) -> float: ...

    def predict(self, reply: object, tokens: Sequence[int], n: int) -> list[int]: ...

    def close(self) -> None: ...


class StepCosts:
    """The seconds of a step by its number of tokens, relative to a step of one token.

    Assumed costs are rather too high, and lower for weights in Q4_0. Measured ones replace them,
    or with `is_cautious` only those that are much too low: then decisions do not depend on time on
    most machines.
    """

    def __init__(self, *, is_cautious: bool, is_q4_0: bool = False) -> None:
        self._is_cautious = is_cautious
        self._assumed = _ASSUMED_Q4_0 if is_q4_0 else _ASSUMED
        self._samples: dict[int, deque[float]] = {}
        self._seconds: dict[int, float] = {}  # the medians of enough samples

    def add(self, n_tokens: int, seconds: float) -> None:
        """Count a step."""
        size = _step_size(n_tokens)
        samples = self._samples.setdefault(size, deque(maxlen=_N_SAMPLES))
        samples.append(seconds)
        if len(samples) >= _MIN_SAMPLES:  # importing statistics would take 10 ms
            self._seconds[size] = sorted(samples)[len(samples) // 2]

    def of(self, n_tokens: int) -> float:
        """Return the cost of a step of `n_tokens`, of at least 1."""
        size = _step_size(n_tokens)
        assumed = self._assumed.get(size) or self._assumed[16] + _PER_TOKEN * (size - 16)
        seconds, single = self._seconds.get(size), self._seconds.get(1)
        if seconds is None or single is None:
            return assumed
        measured = seconds / single
        if self._is_cautious:
            return assumed if measured < _TOO_SLOW * assumed else measured
        return max(1.0, measured)

    def is_measured(self, n_tokens: int) -> bool:
        return _step_size(n_tokens) in self._seconds

    @property
    def single_seconds(self) -> float:
        """The recent seconds of a step of one token; 0 if unknown."""
        return self._seconds.get(1, 0.0)


def _step_size(n_tokens: int) -> int:
    """Return the number of tokens, rounded up to a size that kernels compute at once."""
    return n_tokens if n_tokens <= 2 else -(-n_tokens // 4) * 4


def best_length(
    chances: Sequence[float], costs: StepCosts, *, n_running: int = 1, per_token: float = 0.0
) -> int:
    """Return how many of the tokens with these chances to verify, for the most tokens per second.

    `per_token` is the cost of drafting one. Return 0 if none saves enough.
    """
    expected, n_best = float(n_running), 0
    best = _MIN_GAIN * n_running / costs.of(n_running)
    for n, chance in enumerate(chances, 1):
        expected += chance
        rate = expected / (costs.of(n_running + n) + n * per_token)
        if rate > best:
            best, n_best = rate, n
    return n_best


class Speculation:
    """The drafts of all replies of a model: what a step costs, and how many tokens it verifies.

    Args:
        is_cautious, is_q4_0: see `StepCosts`.
        model: drafts tokens where the prompt has no match; None uses only the prompt and the reply.
    """

    def __init__(
        self, *, is_cautious: bool, is_q4_0: bool = False, model: DraftModel | None = None
    ) -> None:
        self.costs = StepCosts(is_cautious=is_cautious, is_q4_0=is_q4_0)
        self.model = model
        self.n_drafted = self.n_accepted = 0
        self._is_cautious, self._n_steps = is_cautious, 0

    def close(self) -> None:
        if self.model is not None:
            self.model.close()

    def choose(self, drafts: Sequence[Draft], *, n_running: int, n_rows: int) -> list[int]:
        """Return how many tokens of each draft to verify in the next step.

        `n_running` replies get a token in it, and it has `n_rows` rows of logits at most.

        Example:
            >>> draft = Draft(tokens=[7] * 15, chances=[0.99**n for n in range(1, 16)])
            >>> Speculation(is_cautious=True).choose([draft], n_running=1, n_rows=16)
            [11]
        """
        self._n_steps += 1
        chances = [(p, i) for i, draft in enumerate(drafts) for p in draft.chances]
        chances.sort(reverse=True)
        values = [chance for chance, _ in chances[: n_rows - n_running]]
        n_best = best_length(values, self.costs, n_running=n_running)
        n_best = n_best or self._probe(values, n_running)
        lengths = [0] * len(drafts)
        for _, i in chances[:n_best]:
            lengths[i] += 1
        return lengths

    def _probe(self, chances: Sequence[float], n_running: int) -> int:
        """Return how many tokens to verify only to measure a step, mostly 0."""
        if self._is_cautious or n_running > 1 or self._n_steps < _PROBE_EVERY:
            return 0
        for size in (4, 8, 16):
            n = size - n_running
            if not self.costs.is_measured(size) and len(chances) >= n and sum(chances[:n]) > n / 2:
                self._n_steps = 0
                return n
        return 0


class Drafter:
    """Drafts the next tokens of one reply."""

    def __init__(self, speculation: Speculation, prompt: Sequence[int]) -> None:
        self._speculation, self._prompt = speculation, prompt
        self._lookup = PromptLookup(prompt)
        self._right, self._tried = _WEIGHT * _ASSUMED_CHANCE, _WEIGHT  # of the draft model
        self._pause = self._resumes_at = 0
        self._is_from_model = False
        self._saved = 0.0  # steps of one token that drafts have saved, less than 0 if they cost

    def propose(
        self, reply: Sequence[int], forced: Sequence[int], *, limit: int, n_running: int
    ) -> Draft:
        """Return at most `limit` tokens that may follow `reply`, first of all `forced`.

        Of `n_running` replies that are decoded together, only a single one uses the draft model.
        """
        for token in reply[len(self._lookup) - len(self._prompt) :]:
            self._lookup.append(token)
        self._is_from_model = False
        if forced:
            tokens = list(forced[:limit])
            return Draft(tokens, [_FORCED_CHANCE**i for i in range(1, len(tokens) + 1)])
        # The longest draft whose failure the reply can afford.
        model, costs = self._speculation.model, self._speculation.costs
        affordable = self._saved + _MAX_LOSS + _MAX_LOSS_PER_TOKEN * len(reply)
        while limit and costs.of(1 + limit) - 1 > affordable:
            limit -= 1
        tokens = self._lookup.predict(limit)
        draft = Draft(tokens, self._lookup.chances(len(tokens)))
        if model is None or n_running > 1 or best_length(draft.chances, costs):
            return draft
        n = self._model_length(len(reply), limit)
        tokens = model.predict(self, (*self._prompt, *reply), n) if n else []
        if not tokens:
            return draft
        self._is_from_model = True
        return Draft(tokens, [self._chance**i for i in range(1, len(tokens) + 1)])

    def count(self, *, n_drafted: int, n_accepted: int) -> None:
        """Count the tokens of the last draft that were verified, and those that were right."""
        self._speculation.n_drafted += n_drafted
        self._speculation.n_accepted += n_accepted
        self._saved += n_accepted + 1 - self._speculation.costs.of(n_drafted + 1)
        if self._is_from_model:
            self._right += n_accepted
            self._tried += min(n_accepted + 1, n_drafted)
            self._pause = 0 if n_accepted else self._pause

    @property
    def _chance(self) -> float:
        return self._right / self._tried

    def _model_length(self, n_tokens: int, limit: int) -> int:
        """Return how many tokens to draft with the model; 0, and for a while, if none pays."""
        model, costs = self._speculation.model, self._speculation.costs
        if model is None or n_tokens < self._resumes_at:
            return 0
        chances = [self._chance**i for i in range(1, limit + 1)]
        n = best_length(chances, costs, per_token=model.cost_per_token(costs.single_seconds))
        if not n:
            self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
            self._resumes_at = n_tokens + self._pause
            self._right, self._tried = _WEIGHT * _ASSUMED_CHANCE, _WEIGHT
        return n
