"""llama.cpp's sampler chain for one sequence: samples a token from a row of logits."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import DEFAULT_MAX_TOKENS, Sampling

if TYPE_CHECKING:
    from llmtool.structured.compiler import Matcher


# llama.cpp's default sequence breakers for DRY.
_DRY_BREAKERS = (b"\n", b":", b'"', b"*")
_MIN_PROBABILITY = 1e-37  # relative to the most likely token; a smaller float would be denormal


class Sampler:
    """Samples with llama.cpp's samplers, in the order of its default chain.

    The order is logit bias, penalties, DRY, top-k, typical-p, top-p, min-p, XTC, temperature.
    Penalties apply to the reply, not to the prompt: a summary may use the words of its source.

    Args:
        weights: the model.
        sampling: the parameters; a temperature of 0 disables the samplers from top-k on.
        seed: of the random numbers of XTC and of the choice.
        biases: `sampling.logit_bias` by token; see `Tokenizer.biases`.
    """

    def __init__(
        self,
        weights: LlamaModel,
        sampling: Sampling,
        *,
        seed: int,
        biases: Mapping[int, float] = {},
    ) -> None:
        lib = self._lib = weights._lib
        repeat, last_n = sampling.repeat_penalty, sampling.repeat_last_n
        frequency, presence = sampling.frequency_penalty, sampling.presence_penalty
        self._has_state = bool(
            repeat != 1 or frequency or presence or sampling.dry_multiplier > 0
        ) or (sampling.temperature > 0 < sampling.xtc_probability)
        self._is_shared = sampling.temperature == 0 and not (self._has_state or biases)
        if self._is_shared:
            self._chain = weights.greedy_chain
            return
        self._chain = weights.make_sampler_chain()
        # llama.cpp has no value for "all tokens", and allocates memory for the given number.
        longest = (sampling.max_tokens or DEFAULT_MAX_TOKENS) + (sampling.think_tokens or 0)
        last_n = longest if last_n < 0 else min(last_n, longest)

        def add(step: object) -> None:
            lib.llama_sampler_chain_add(self._chain, step)

        if biases:
            pairs = [lib.llama_logit_bias(token=t, bias=bias) for t, bias in biases.items()]
            native = (lib.llama_logit_bias * len(pairs))(*pairs)
            add(lib.llama_sampler_init_logit_bias(weights.n_vocab, len(pairs), native))
        if repeat != 1:
            add(lib.llama_sampler_init_penalties(weights.n_vocab, last_n, repeat, 0.0, 0.0))
        if frequency or presence:
            penalties = longest, 1.0, frequency, presence
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
        if sampling.typical_p < 1:
            # The entropy of tokens whose probability is 0, such as masked ones, would be nan.
            add(lib.llama_sampler_init_min_p(_MIN_PROBABILITY, 1))
            add(lib.llama_sampler_init_typical(sampling.typical_p, 1))
        if sampling.top_p < 1:
            add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.xtc_probability > 0:
            xtc = sampling.xtc_probability, sampling.xtc_threshold
            add(lib.llama_sampler_init_xtc(*xtc, 1, seed))
        add(lib.llama_sampler_init_temp(sampling.temperature))
        add(lib.llama_sampler_init_dist(seed))

    def sample(self, context: Context, row: int = -1, matcher: Matcher | None = None) -> int:
        """Sample a token from a row of the last batch.

        With a matcher, sample first and check the token. Only if it is not allowed, mask the whole
        vocabulary, which takes much longer, and sample again. With penalties or XTC, mask first:
        penalties would count a rejected token, and XTC depends on which tokens are allowed.
        """
        if matcher is None:
            return self._sample(context, row)
        if not self._has_state:
            token = self._sample(context, row)
            if matcher.allows(token):
                return token
        logits = self._lib.llama_get_logits_ith(context._ctx, row)
        # Restore the logits afterwards, because other choices may share the row.
        saved = ctypes.string_at(logits, 4 * context.weights.n_vocab)
        matcher.mask_logits(logits)
        token = self._apply(context, row)
        ctypes.memmove(logits, saved, len(saved))
        return token

    def _sample(self, context: Context, row: int) -> int:
        if self._is_shared and (token := context.most_likely(row)) is not None:
            return token
        return self._apply(context, row)

    def _apply(self, context: Context, row: int) -> int:
        return int(self._lib.llama_sampler_sample(self._chain, context._ctx, row))

    def free_buffer(self) -> None:
        """Free the copy of the last row, 12 bytes per token of the vocabulary; keep the state."""
        if self._is_shared:
            return
        used, self._chain = self._chain, self._lib.llama_sampler_clone(self._chain)
        self._lib.llama_sampler_free(used)

    def close(self) -> None:
        if self._chain and not self._is_shared:
            self._lib.llama_sampler_free(self._chain)
        self._chain = None
