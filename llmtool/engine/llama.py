"""Typed handles over llama.cpp's objects: weights, context, sampler chain.

Nothing here knows about prompts, requests or text streams.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from llmtool.engine.bindings import bindings, forget_errors, last_error
from llmtool.engine.interrupts import SignalWatch
from llmtool.engine.types import Cancellation, OnProgress, Sampling, TokenKind
from llmtool.errors import Cancelled, EngineError, ModelUnreadable


class Weights:
    """A loaded model: its weights, its vocabulary and its metadata.

    Args:
        path: the GGUF file, or the first part of a split one; checked by the caller.
        n_gpu_layers: layers to put on the GPU; -1 is all of them.
        on_progress: called with (done, 1.0) while tensors are loaded.

    Raises:
        ModelUnreadable: llama.cpp refuses the file.
        Cancelled: `cancellation` was set meanwhile.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_gpu_layers: int = -1,
        cancellation: Cancellation,
        on_progress: OnProgress | None = None,
        vocab_only: bool = False,
    ) -> None:
        lib = self._lib = bindings()
        self.path = path
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.vocab_only = vocab_only

        def go_on(done: float, _data: object) -> bool:
            if on_progress is not None:
                on_progress(done, 1.0)
            return not cancellation.cancelled

        params.progress_callback = callback = lib.llama_progress_callback(go_on)
        forget_errors()
        watch = SignalWatch(cancellation)
        try:
            with watch:
                self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        finally:
            watch.close()
            del callback
        if not self._model:
            cancellation.check()
            reason = last_error() or "llama.cpp refused it"
            raise ModelUnreadable(f"{path}: cannot be loaded: {reason}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._pieces: dict[int, bytes] = {}
        self._buffer = ctypes.create_string_buffer(256)

    def close(self) -> None:
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    @cached_property
    def n_ctx_train(self) -> int:
        return int(self._lib.llama_model_n_ctx_train(self._model))

    @cached_property
    def n_vocab(self) -> int:
        return int(self._lib.llama_vocab_n_tokens(self._vocab))

    @cached_property
    def n_layer(self) -> int:
        return int(self._lib.llama_model_n_layer(self._model))

    @cached_property
    def size_bytes(self) -> int:
        return int(self._lib.llama_model_size(self._model))

    def metadata(self, key: str) -> str | None:
        """Return a value of the file's metadata as text, or None."""
        buffer = ctypes.create_string_buffer(256)
        n = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return None if n < 0 else buffer.value.decode("utf-8", "replace")

    @cached_property
    def is_encoder(self) -> bool:
        """Whether it cannot write from left to right: BERT, T5, embedding and diffusion models."""
        lib = self._lib
        if lib.llama_model_has_encoder(self._model) or lib.llama_model_is_diffusion(self._model):
            return True
        architecture = self.metadata("general.architecture") or ""
        if architecture.endswith("-embedding"):
            return True
        return self.metadata(f"{architecture}.attention.causal") == "false"

    @cached_property
    def chat_template(self) -> str | None:
        """The template's source as it stands in the file; None for a base model."""
        source = self._lib.llama_model_chat_template(self._model, None)
        return None if source is None else bytes(source).decode("utf-8", "replace")

    @cached_property
    def bos(self) -> int:
        """The id of the beginning-of-sequence token, or -1."""
        return int(self._lib.llama_vocab_bos(self._vocab))

    @cached_property
    def eos(self) -> int:
        return int(self._lib.llama_vocab_eos(self._vocab))

    @cached_property
    def adds_bos(self) -> bool:
        return bool(self._lib.llama_vocab_get_add_bos(self._vocab)) and self.bos >= 0

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the ids of UTF-8 `text`, as `llama_tokenize` does; shape (n_tokens,)."""
        size = len(text) + 8
        while True:
            ids = (ctypes.c_int32 * size)()
            n = self._lib.llama_tokenize(
                self._vocab, text, len(text), ids, size, add_special, parse_special
            )
            if n >= 0:
                return ids[:n]
            size = -n

    def token_text(self, token: int) -> str:
        """Return a token as it is written in the vocabulary, control tokens included."""
        raw = self._lib.llama_vocab_get_text(self._vocab, token)
        return bytes(raw or b"").decode("utf-8", "replace")

    def kind(self, token: int) -> TokenKind:
        lib = self._lib
        attributes = lib.llama_vocab_get_attr(self._vocab, token)
        if attributes & lib.LLAMA_TOKEN_ATTR_CONTROL:
            return "control"
        if attributes & lib.LLAMA_TOKEN_ATTR_USER_DEFINED:
            return "user"
        return "unknown" if attributes & lib.LLAMA_TOKEN_ATTR_UNKNOWN else "ordinary"

    def is_end(self, token: int) -> bool:
        """Whether a reply ends at this token (end of sequence, turn or message)."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text; control tokens add none."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.render_piece(token, special=False)
        return piece

    def render_piece(self, token: int, *, special: bool) -> bytes:
        """Return a token's bytes; `special` writes control tokens out as text."""
        while True:
            size = len(self._buffer)
            n = self._lib.llama_token_to_piece(self._vocab, token, self._buffer, size, 0, special)
            if n >= 0:
                return self._buffer.raw[:n]
            self._buffer = ctypes.create_string_buffer(-n)


class Context:
    """The memory and the compute buffers of `Weights` for up to `n_ctx` tokens.

    Args:
        n_ctx: tokens that fit, prompt and reply together.
        n_threads: threads for decoding and for prompts.
        n_batch: tokens per call of `decode` at the most.
        cancellation: ends a running `decode` between two nodes of the graph.

    Raises:
        EngineError: there is not enough memory.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        n_ctx: int,
        n_threads: int,
        n_batch: int = 512,
        cancellation: Cancellation,
    ) -> None:
        lib = self._lib = weights._lib
        self.weights = weights
        self.n_batch = n_batch
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = n_threads
        params.no_perf = True
        self._cancellation = cancellation
        self._watch = SignalWatch(cancellation)
        # strlen(flag) is the abort callback: 0 while the flag is an empty string. A Python
        # callback runs 515 times per token on a 30-layer model and costs about 4 %.
        self._flag = (ctypes.c_char * 2).from_buffer(cancellation.flag)
        params.abort_callback = ctypes.cast(_c_library().strlen, lib.ggml_abort_callback)
        params.abort_callback_data = ctypes.addressof(self._flag)
        forget_errors()
        self._ctx = lib.llama_init_from_model(weights._model, params)
        if not self._ctx:
            raise EngineError(
                f"no memory for a context of {n_ctx} tokens"
                f"{': ' + last_error() if last_error() else ''} (try a smaller --ctx-size)"
            )
        self._memory = lib.llama_get_memory(self._ctx)
        self.n_ctx = int(lib.llama_n_ctx(self._ctx))
        self._ids = (ctypes.c_int32 * n_batch)()

    def close(self) -> None:
        if self._ctx:
            self._lib.llama_free(self._ctx)
            self._ctx = None
            self._watch.close()

    def decode(self, tokens: Sequence[int]) -> None:
        """Append up to `n_batch` tokens to the sequence and compute the logits of the last.

        Raises:
            Cancelled: stopped from outside; what was appended is undefined until `clear`.
            EngineError: llama.cpp failed.
        """
        n = len(tokens)
        self._ids[:n] = list(tokens)
        with self._watch:
            code = self._lib.llama_decode(self._ctx, self._lib.llama_batch_get_one(self._ids, n))
        if code == 0:
            return
        if code == 2:
            raise Cancelled("stopped before it was done", reason=self._cancellation.reason)
        raise EngineError(f"llama.cpp could not decode (code {code}) {last_error()}".rstrip())

    def truncate(self, length: int) -> bool:
        """Forget everything after `length` tokens; False where the memory cannot do that."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, 0, length, -1))

    def clear(self) -> None:
        self._lib.llama_memory_clear(self._memory, False)


class Sampler:
    """llama.cpp's chain: penalties, top-k, top-p, min-p, temperature, then a draw with the seed.

    Penalties look at the reply alone, not at the prompt: a summary may use its source's words.
    """

    def __init__(self, weights: Weights, sampling: Sampling, *, seed: int) -> None:
        lib = self._lib = weights._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = lib.llama_sampler_chain_init(params)

        def add(step: object) -> None:
            lib.llama_sampler_chain_add(self._chain, step)

        if sampling.repeat_penalty != 1.0:
            add(
                lib.llama_sampler_init_penalties(
                    weights.n_vocab, sampling.repeat_last_n, sampling.repeat_penalty, 0.0, 0.0
                )
            )
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

    def sample(self, context: Context) -> int:
        """Choose a token from the logits of the last decoded one, and remember it."""
        return int(self._lib.llama_sampler_sample(self._chain, context._ctx, -1))

    def close(self) -> None:
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None


def _c_library() -> ctypes.CDLL:
    return ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
