"""A typed handle of a llama.cpp model: weights, vocabulary and metadata."""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.bindings import bindings, clear_errors, last_error
from llmtool.engine.llama.devices import devices, fit_layers
from llmtool.engine.llama.interrupts import SignalWatch
from llmtool.engine.types import FimTokens, OnProgress, TokenKind
from llmtool.errors import EngineError, ModelUnreadable
from llmtool.files import FileIdentity
from llmtool.machine import trim_heap
from llmtool.models.quants import list_parts

_SPECIAL = re.compile(r"<[|｜][^<>\s]+[|｜]>")  # some files mark such tokens as USER_DEFINED


def load_model(
    path: Path,
    *,
    n_gpu_layers: int | None = None,
    cancellation: Cancellation | None = None,
    on_progress: OnProgress | None = None,
    on_fault: Callable[[], object] | None = None,
) -> LlamaModel:
    """Load a model that generates text; see `LlamaModel`. Other threads can run meanwhile.

    `n_gpu_layers` None fits the layers to the free memory of the GPU.

    Raises:
        ModelUnreadable: llama.cpp rejects the file, or the model is an encoder.
        EngineError: this process was forked from one that used the GPU.
        Cancelled: the cancellation was set.
    """
    lib = bindings()
    if lib._llmtool_is_forked and lib.llama_supports_gpu_offload():
        raise EngineError(
            "a process that was forked after its parent used llama.cpp cannot use the GPU; start "
            "it with multiprocessing's 'spawn' method"
        )
    parts = list_parts(path)
    if n_gpu_layers is None:
        n_gpu_layers = fit_layers(path, sum(part.stat().st_size for part in parts), devices())
    model = LlamaModel(
        path,
        n_gpu_layers=n_gpu_layers,
        cancellation=cancellation or Cancellation(),
        on_progress=on_progress,
        on_fault=on_fault,
    )
    trim_heap()
    if model.is_encoder:
        model.close()
        raise ModelUnreadable(
            f"{path} is an encoder model and cannot generate text; use a text generation model"
        )
    return model


class LlamaModel:
    """A llama.cpp model: its weights, vocabulary and metadata.

    Args:
        path: the GGUF file, or the first part of a split one; checked by `models.gguf.check`.
        n_gpu_layers: layers on the GPU, if the backend has one; -1 is all of them.
        on_progress: called with (done, 1.0) while tensors are loaded.
        on_fault: called from another thread if the file is truncated while in use; see
            `SignalWatch`.

    Raises:
        ModelUnreadable: llama.cpp rejects the file.
        Cancelled: `cancellation` was set while loading.
        Exception: any that `on_progress` raises.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_gpu_layers: int = -1,
        cancellation: Cancellation,
        on_progress: OnProgress | None = None,
        on_fault: Callable[[], object] | None = None,
        vocab_only: bool = False,
    ) -> None:
        lib = self._lib = bindings()
        self.path, self.n_gpu_layers, self.on_fault = path, n_gpu_layers, on_fault
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.vocab_only = vocab_only

        raised: list[BaseException] = []

        def report(done: float, _data: object) -> bool:  # False stops loading
            try:
                if on_progress is not None and not raised:
                    on_progress(done, 1.0)
            except BaseException as exc:  # ctypes would print it and continue
                raised.append(exc)
            return not raised and not cancellation.cancelled

        params.progress_callback = callback = lib.llama_progress_callback(report)
        clear_errors()
        started = time.perf_counter()
        watch = SignalWatch(cancellation, on_fault=on_fault)
        try:
            with watch:
                self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        finally:
            watch.close()
            del callback
        if raised:
            self.close()
            raise raised.pop()
        if not self._model:
            cancellation.check()
            reason = last_error() or "llama.cpp gave no reason"
            raise ModelUnreadable(f"cannot load {path}: {reason}")
        self.load_seconds = time.perf_counter() - started
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._pieces: dict[int, bytes] = {}
        self.identities: list[FileIdentity] = []  # of its files, if they were checked
        self._kinds: dict[int, TokenKind] = {}

    def close(self) -> None:
        if chain := self.__dict__.pop("greedy_chain", None):
            self._lib.llama_sampler_free(chain)
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def load_adapter(self, path: Path) -> Any:
        """Load a LoRA adapter, which is freed with the model; return llama.cpp's pointer.

        Raises:
            ModelUnreadable: llama.cpp rejects the file.
        """
        clear_errors()
        adapter = self._lib.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not adapter:
            reason = last_error().removeprefix("failed to apply lora adapter: ")
            raise ModelUnreadable(
                f"{path}: not a LoRA adapter of this model: {reason or 'llama.cpp gave no reason'}"
            )
        return adapter

    @cached_property
    def n_ctx_train(self) -> int:
        return int(self._lib.llama_model_n_ctx_train(self._model))

    @cached_property
    def n_params(self) -> int:
        return int(self._lib.llama_model_n_params(self._model))

    @cached_property
    def n_vocab(self) -> int:
        return int(self._lib.llama_vocab_n_tokens(self._vocab))

    @cached_property
    def size_bytes(self) -> int:
        return int(self._lib.llama_model_size(self._model))

    def metadata(self, key: str) -> str | None:
        """Return a metadata value of the file as text, or None."""
        buffer = ctypes.create_string_buffer(256)
        n = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return None if n < 0 else buffer.value.decode("utf-8", "replace")

    @cached_property
    def is_encoder(self) -> bool:
        """Whether the model cannot generate text: BERT, T5, embedding and diffusion models."""
        lib = self._lib
        if lib.llama_model_has_encoder(self._model) or lib.llama_model_is_diffusion(self._model):
            return True
        architecture = self.metadata("general.architecture") or ""
        if architecture.endswith("-embedding"):
            return True
        return self.metadata(f"{architecture}.attention.causal") == "false"

    @cached_property
    def n_ctx_rope(self) -> int | None:
        """The maximum context size with the short RoPE factors, if the model has two sets.

        llama.cpp selects the set by the size of the whole context, so the context of several short
        requests must not exceed this size.
        """
        architecture = self.metadata("general.architecture")
        value = self.metadata(f"{architecture}.rope.scaling.original_context_length")
        return int(value) if value and value.isdigit() else None

    @cached_property
    def requires_full_snapshots(self) -> bool:
        """Whether the memory cannot be truncated: recurrent and hybrid models."""
        lib = self._lib
        return bool(
            lib.llama_model_is_recurrent(self._model) or lib.llama_model_is_hybrid(self._model)
        )

    @cached_property
    def has_sliding_window(self) -> bool:
        """Whether some layers use sliding-window attention."""
        return self.n_swa > 0

    @cached_property
    def n_swa(self) -> int:
        """The tokens of the sliding window, 0 without one."""
        return int(self._lib.llama_model_n_swa(self._model))

    @cached_property
    def chat_template(self) -> str | None:
        """The source of the chat template; None for a base model."""
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

    @cached_property
    def adds_space(self) -> bool:
        """Whether the tokenizer adds a space before a text, which its decoder removes."""
        is_sentencepiece = self.metadata("tokenizer.ggml.model") == "llama"
        return is_sentencepiece and self.metadata("tokenizer.ggml.add_space_prefix") != "false"

    @cached_property
    def fim_tokens(self) -> FimTokens | None:
        """The tokens for filling in the middle, or None if the model has none."""
        lib, vocab = self._lib, self._vocab
        prefix, suffix, middle = (
            int(find(vocab))
            for find in (lib.llama_vocab_fim_pre, lib.llama_vocab_fim_suf, lib.llama_vocab_fim_mid)
        )
        if min(prefix, suffix, middle) < 0:
            return None
        return FimTokens(prefix=prefix, suffix=suffix, middle=middle)

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
        """Return the text of a token in the vocabulary, also for control tokens."""
        raw = self._lib.llama_vocab_get_text(self._vocab, token)
        return bytes(raw or b"").decode("utf-8", "replace")

    def kind(self, token: int) -> TokenKind:
        kind = self._kinds.get(token)
        if kind is None:
            kind = self._kinds[token] = self._find_kind(token)
        return kind

    def _find_kind(self, token: int) -> TokenKind:
        lib = self._lib
        attributes = lib.llama_vocab_get_attr(self._vocab, token)
        if attributes & lib.LLAMA_TOKEN_ATTR_CONTROL:
            return "control"
        if attributes & lib.LLAMA_TOKEN_ATTR_USER_DEFINED:
            return "user"
        return "unknown" if attributes & lib.LLAMA_TOKEN_ATTR_UNKNOWN else "ordinary"

    def is_special(self, token: int) -> bool:
        """Whether a token is never text: a control token, or one that is written like one."""
        kind = self.kind(token)
        return kind == "control" or (
            kind == "user" and _SPECIAL.fullmatch(self.token_text(token)) is not None
        )

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """The ids that end a reply."""
        return tuple(token for token in range(self.n_vocab) if self.is_end(token))

    @cached_property
    def max_sequences(self) -> int:
        """The maximum number of sequences of one context."""
        return int(self._lib.llama_max_parallel_sequences())

    def is_end(self, token: int) -> bool:
        """Whether this token ends a reply: end of sequence, turn or message."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    def make_sampler_chain(self) -> Any:
        """Return an empty chain of samplers."""
        params = self._lib.llama_sampler_chain_default_params()
        params.no_perf = True
        return self._lib.llama_sampler_chain_init(params)

    @cached_property
    def greedy_chain(self) -> Any:
        """The greedy sampler, which has no state; one copy of a row serves all requests."""
        chain = self.make_sampler_chain()
        self._lib.llama_sampler_chain_add(chain, self._lib.llama_sampler_init_greedy())
        return chain

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token adds to the text; control tokens add none."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.render_piece(token, special=False)
        return piece

    def render_piece(self, token: int, *, special: bool) -> bytes:
        """Return a token's bytes; with `special`, control tokens are rendered as text."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)  # not shared between threads
            n = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n
