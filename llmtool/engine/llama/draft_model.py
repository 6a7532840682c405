"""A small model that drafts the tokens of a larger one with the same vocabulary."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.context_planner import round_up
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.types import Sampling
from llmtool.errors import Cancelled, EngineError
from llmtool.option_names import option

_MAX_PADDING = 256  # unused tokens by which the vocabularies of a family differ
_ASSUMED_COST = 0.25  # of a token, relative to one of the large model


class SmallModel:
    """Continues one reply at a time greedily, in its own context; loaded on first use.

    Args:
        load: returns the model.
        target: the model whose replies it drafts.
    """

    def __init__(
        self,
        load: Callable[[], LlamaModel],
        target: LlamaModel,
        *,
        n_threads: int,
        cancellation: Cancellation,
    ) -> None:
        self._load, self._target = load, target
        self._n_threads, self._cancellation = n_threads, cancellation
        self._weights: LlamaModel | None = None
        self._context: Context | None = None
        self._sampler: Sampler | None = None
        self._reply: object = None
        self._tokens: list[int] = []  # in the context
        self._n_verified = 0  # of them, those of the reply
        self._token_seconds = 0.0
        self._has_failed = False

    def close(self) -> None:
        """Free the model; `load` loads it again."""
        for each in (self._sampler, self._context, self._weights):
            if each is not None:
                each.close()
        self._sampler = self._context = self._weights = None

    def load(self) -> LlamaModel:
        """Load the model, if it is not loaded.

        Raises:
            EngineError: its vocabulary or its memory differs from what drafts need.
            LlmtoolError: it cannot be loaded.
        """
        if self._weights is None:
            weights = self._load()
            try:
                _check(weights, self._target)
                self._sampler = Sampler(weights, Sampling(temperature=0), seed=0)
            except BaseException:
                weights.close()
                raise
            self._weights = weights
        return self._weights

    def cost_per_token(self, target_seconds: float) -> float:
        """Return the cost of a drafted token, relative to a step that takes `target_seconds`."""
        if not self._token_seconds or not target_seconds:
            return _ASSUMED_COST
        return self._token_seconds / target_seconds

    def predict(self, reply: object, tokens: Sequence[int], n: int) -> list[int]:
        """Return up to `n` tokens that follow `tokens`, those of the prompt and of `reply` so far.

        `reply` identifies the reply; its tokens are compared only from those verified before.
        Return none, from then on, if memory is short.
        """
        weights = self.load()
        assert self._sampler is not None
        needed = len(tokens) + n
        if self._has_failed or needed > weights.n_ctx_train:
            return []
        try:
            context = self._ensure_context(needed)
            row = self._catch_up(context, reply, tokens)
            started, found = time.perf_counter(), list[int]()
            while True:
                token = self._sampler.sample(context, row)
                if token >= self._target.n_vocab or self._target.is_end(token):
                    break
                found.append(token)
                if len(found) == n:
                    break
                row = context.prefill([token], pos=len(self._tokens))
                self._tokens.append(token)
        except Cancelled:
            self._forget()
            raise
        except EngineError as exc:
            import logging

            logging.getLogger("llmtool").warning("no drafts by a model: %s", exc)
            self._forget()
            self._has_failed = True
            return []
        if len(found) > 1:
            self._token_seconds = (time.perf_counter() - started) / (len(found) - 1)
        return found

    def _ensure_context(self, n_cells: int) -> Context:
        if self._context is None or self._context.n_ctx < n_cells:
            if self._context is not None:
                self._context.close()
                self._context = None
            self._tokens = []
            assert self._weights is not None
            self._context = Context(
                self._weights,
                n_ctx=round_up(n_cells * 5 // 4),
                n_threads=self._n_threads,
                cancellation=self._cancellation,
            )
        return self._context

    def _catch_up(self, context: Context, reply: object, tokens: Sequence[int]) -> int:
        """Compute `tokens`, as far as they are not in the context; return the last row."""
        n_common = min(self._n_verified if reply is self._reply else 0, len(self._tokens))
        longest = min(len(self._tokens), len(tokens) - 1)
        n_common = min(n_common, longest)
        while n_common < longest and self._tokens[n_common] == tokens[n_common]:
            n_common += 1
        context.truncate(0, n_common)
        self._tokens[n_common:] = tokens[n_common:]
        row = context.prefill(tokens[n_common:], pos=n_common)
        self._reply, self._n_verified = reply, len(tokens)
        return row

    def _forget(self) -> None:
        if self._context is not None:
            self._context.clear()
            self._context.was_interrupted = False
        self._tokens = []


def _check(draft: LlamaModel, target: LlamaModel) -> None:
    given = option("draft", str(draft.path))
    if draft.requires_full_snapshots:
        raise EngineError(f"{given}: a recurrent model cannot draft; use one with attention only")
    n = min(draft.n_vocab, target.n_vocab)
    is_same = abs(draft.n_vocab - target.n_vocab) <= _MAX_PADDING and all(
        draft.token_text(token) == target.token_text(token) for token in range(n)
    )
    if not is_same:
        raise EngineError(
            f"{given}: its vocabulary is not that of {target.path.name}; use a smaller model of "
            "the same family"
        )
