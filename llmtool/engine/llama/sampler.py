"""llama.cpp's sampler chain for one sequence: samples a token from a row of logits."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import DEFAULT_MAX_TOKENS, Sampling

if TYPE_CHECKING:
    from llmtool.structured.compiler import Matcher


# llama.cpp's default sequence breakers for DRY.
_DRY_BREAKERS = (b"\n", b":", b'"', b"*")


class Sampler:
    """Penalties, DRY, top-k, top-p, min-p, temperature, then sampling with the seed.

    Penalties apply to the reply, not to the prompt: a summary may use the words of its source.
    """

    def __init__(self, weights: LlamaModel, sampling: Sampling, *, seed: int) -> None:
        lib = self._lib = weights._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = lib.llama_sampler_chain_init(params)
        self._penalizes = sampling.repeat_penalty != 1.0 or sampling.dry_multiplier > 0
        # llama.cpp has no value for "all tokens", and allocates memory for the given number.
        longest, last_n = sampling.max_tokens or DEFAULT_MAX_TOKENS, sampling.repeat_last_n
        last_n = longest if last_n < 0 else min(last_n, longest)

        def add(step: object) -> None:
            lib.llama_sampler_chain_add(self._chain, step)

        if sampling.repeat_penalty != 1.0:
            penalties = last_n, sampling.repeat_penalty, 0.0, 0.0
            add(lib.llama_sampler_init_penalties(weights.n_vocab, *penalties))
        if sampling.dry_multiplier > 0:
            breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)
            pointer = ctypes.cast(breakers, ctypes.POINTER(ctypes.c_char_p))
            dry = sampling.dry_multiplier, sampling.dry_base, sampling.dry_allowed_length
            add(lib.llama_sampler_init_dry(weights._vocab, *dry, longest, pointer, len(breakers)))
        if sampling.temperature == 0:
            add(lib.llama_sampler_init_greedy())
            return
        if sampling.top_k:
            add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        add(lib.llama_sampler_init_temp(sampling.temperature))
        add(lib.llama_sampler_init_dist(seed))

    def sample(self, context: Context, row: int = -1, matcher: Matcher | None = None) -> int:
        """Sample a token from a row of the last batch.

        With a matcher, sample first and check the token. Only if it is not allowed, mask the whole
        vocabulary, which takes much longer, and sample again. With penalties, mask first, because
        the penalties would count a rejected token.
        """
        if matcher is None:
            return self._sample(context, row)
        if not self._penalizes:
            token = self._sample(context, row)
            if matcher.allows(token):
                return token
        logits = self._lib.llama_get_logits_ith(context._ctx, row)
        # Restore the logits afterwards, because other choices may share the row.
        saved = ctypes.string_at(logits, 4 * context.weights.n_vocab)
        matcher.mask_logits(logits)
        token = self._sample(context, row)
        ctypes.memmove(logits, saved, len(saved))
        return token

    def _sample(self, context: Context, row: int) -> int:
        return int(self._lib.llama_sampler_sample(self._chain, context._ctx, row))

    def free_buffer(self) -> None:
        """Free the copy of the last row, 12 bytes per token of the vocabulary; keep the state."""
        used, self._chain = self._chain, self._lib.llama_sampler_clone(self._chain)
        self._lib.llama_sampler_free(used)

    def close(self) -> None:
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None
