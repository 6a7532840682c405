"""Write tiny GGUF models with random weights, for tests that need llama.cpp but no meaningful text.

    plain      llama, byte-level BPE, ChatML template
    spm        llama, SentencePiece, a template that writes the BOS token itself
    base       gpt2 without a chat template
    swa        gemma3: sliding-window attention in every second layer
    recurrent  mamba: no attention
    hybrid     lfm2: short convolutions and attention
    encoder    bert: no decoder

Each tensor is seeded by `seed` and its name, and scaled so that greedy decoding does not loop.
Control tokens are not sampled unless `logit_scale` sets them, so replies run to `max_tokens`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tiny_vocabulary import (
    TokenType,
    Vocabulary,
    bpe_vocabulary,
    spm_vocabulary,
    wpm_vocabulary,
)

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message.role }}\n"
    "{{ message.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass
class ModelSpec:
    """The hyperparameters, metadata and tensors of a model to write."""

    arch: str
    vocabulary: Vocabulary
    chat_template: str | None = None
    n_ctx: int = 2048
    n_embd: int = 64
    n_layer: int = 2
    n_head: int = 4
    n_head_kv: int = 2
    n_ff: int = 128
    seed: int = 1
    printable: bool = False
    float32: bool = False
    attention_gain: float = 2.0
    logit_scale: Mapping[str | bytes, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    float32: bool = False

    def random(self, name: str, *shape: int, gain: float = 1.0) -> None:
        """Add a random matrix (rows, columns) that scales the norm of a vector by about `gain`."""
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        values = rng.standard_normal(shape, dtype=np.float32) * gain / np.sqrt(shape[-1])
        needs_float32 = any(part in name for part in ("conv", "position", "token_types"))
        self.tensors[name] = values.astype(
            np.float32 if needs_float32 or self.float32 else np.float16
        )

    def constant(self, name: str, *shape: int, value: float = 1.0) -> None:
        self.tensors[name] = np.full(shape, value, dtype=np.float32)

    def norm(self, name: str, width: int | None = None, *, bias: bool = False) -> None:
        self.constant(f"{name}.weight", width or self.n_embd)
        if bias:
            self.constant(f"{name}.bias", width or self.n_embd, value=0.0)


def write_tiny_model(path: Path, kind: str = "plain", **overrides: Any) -> Path:
    """Write a tiny model to `path` and return `path`.

    Args:
        kind: a key of `KINDS`.
        overrides: fields of `ModelSpec`. With `float32`, all weights are. With `printable`, only
            tokens of ASCII text are sampled.
            `logit_scale` maps the text of tokens to a factor for their logits:
            `{"<|im_end|>": 3.0}` makes replies end. `metadata` sets keys of the file; None removes
            one. `added` maps names of tensors to arrays that are added to them.

    Example:
        write_tiny_model(tmp_path / "m.gguf", "spm", n_ctx=512, chat_template=None)
    """
    metadata, added = overrides.pop("metadata", {}), overrides.pop("added", {})
    spec = KINDS[kind](**overrides)
    spec.metadata = {k: v for k, v in {**_metadata(spec), **metadata}.items() if v is not None}
    for name, values in added.items():
        spec.tensors[name] = spec.tensors[name] + values.astype(spec.tensors[name].dtype)
    _write(path, spec)
    return path


def _plain(**overrides: Any) -> ModelSpec:
    spec = ModelSpec(
        "llama", **{"vocabulary": bpe_vocabulary(), "chat_template": CHATML, **overrides}
    )
    return _llama(spec)


def _spm(**overrides: Any) -> ModelSpec:
    spec = ModelSpec(
        "llama", **{"vocabulary": spm_vocabulary(), "chat_template": TURNS, **overrides}
    )
    return _llama(spec)


def _llama(spec: ModelSpec) -> ModelSpec:
    _embeddings(spec)
    for layer in range(spec.n_layer):
        spec.norm(f"blk.{layer}.attn_norm")
        _attention(spec, layer)
        _gated_ffn(spec, layer)
    return spec


def _base(**overrides: Any) -> ModelSpec:
    spec = ModelSpec("gpt2", **{"vocabulary": bpe_vocabulary(), "n_ctx": 1024, **overrides})
    spec.n_head_kv = spec.n_head
    spec.vocabulary.special = {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}
    _embeddings(spec, bias=True)
    spec.random("position_embd.weight", spec.n_ctx, spec.n_embd, gain=spec.n_embd**0.5)
    for layer in range(spec.n_layer):
        block = f"blk.{layer}"
        spec.norm(f"{block}.attn_norm", bias=True)
        spec.random(f"{block}.attn_qkv.weight", 3 * spec.n_embd, spec.n_embd, gain=1.4)
        spec.constant(f"{block}.attn_qkv.bias", 3 * spec.n_embd, value=0.0)
        spec.random(f"{block}.attn_output.weight", spec.n_embd, spec.n_embd, gain=2.0)
        spec.constant(f"{block}.attn_output.bias", spec.n_embd, value=0.0)
        spec.norm(f"{block}.ffn_norm", bias=True)
        spec.random(f"{block}.ffn_up.weight", spec.n_ff, spec.n_embd, gain=1.5)
        spec.constant(f"{block}.ffn_up.bias", spec.n_ff, value=0.0)
        spec.random(f"{block}.ffn_down.weight", spec.n_embd, spec.n_ff, gain=1.5)
        spec.constant(f"{block}.ffn_down.bias", spec.n_embd, value=0.0)
    return spec


def _swa(*, sliding_window: int = 32, **overrides: Any) -> ModelSpec:
    options = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, "n_layer": 4, **overrides}
    spec = ModelSpec("gemma3", **options)
    spec.metadata["attention.sliding_window"] = sliding_window
    spec.metadata["attention.sliding_window_pattern"] = [i % 2 == 0 for i in range(spec.n_layer)]
    _embeddings(spec)
    for layer in range(spec.n_layer):
        block = f"blk.{layer}"
        spec.norm(f"{block}.attn_norm")
        _attention(spec, layer, norms=True)
        spec.norm(f"{block}.post_attention_norm")
        _gated_ffn(spec, layer)
        spec.norm(f"{block}.post_ffw_norm")
    return spec


def _recurrent(*, d_state: int = 8, d_conv: int = 4, **overrides: Any) -> ModelSpec:
    options = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, **overrides}
    spec = ModelSpec("mamba", **{**options, "n_head": 0, "n_head_kv": 0, "n_ff": 0})
    d_inner, dt_rank = 2 * spec.n_embd, max(spec.n_embd // 16, 1)
    spec.metadata["ssm.conv_kernel"] = d_conv
    spec.metadata["ssm.inner_size"] = d_inner
    spec.metadata["ssm.state_size"] = d_state
    spec.metadata["ssm.time_step_rank"] = dt_rank
    _embeddings(spec)
    for layer in range(spec.n_layer):
        block = f"blk.{layer}"
        spec.norm(f"{block}.attn_norm")
        spec.random(f"{block}.ssm_in.weight", 2 * d_inner, spec.n_embd, gain=1.5)
        spec.random(f"{block}.ssm_conv1d.weight", d_inner, d_conv, gain=1.5)
        spec.constant(f"{block}.ssm_conv1d.bias", d_inner, value=0.0)
        spec.random(f"{block}.ssm_x.weight", dt_rank + 2 * d_state, d_inner)
        spec.random(f"{block}.ssm_dt.weight", d_inner, dt_rank)
        spec.constant(f"{block}.ssm_dt.bias", d_inner, value=-2.0)
        decay = np.tile(-np.arange(1, d_state + 1, dtype=np.float32), (d_inner, 1))
        spec.tensors[f"{block}.ssm_a"] = decay
        spec.constant(f"{block}.ssm_d", d_inner)
        spec.random(f"{block}.ssm_out.weight", spec.n_embd, d_inner, gain=2.0)
    return spec


def _hybrid(*, l_cache: int = 3, **overrides: Any) -> ModelSpec:
    options = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, "n_layer": 4, **overrides}
    spec = ModelSpec("lfm2", **options)
    has_attention = [layer % 2 == 1 for layer in range(spec.n_layer)]
    spec.metadata["shortconv.l_cache"] = l_cache
    spec.metadata["attention.head_count_kv"] = [spec.n_head_kv * each for each in has_attention]
    _embeddings(spec, output_norm="token_embd_norm")
    for layer, attention in enumerate(has_attention):
        block = f"blk.{layer}"
        spec.norm(f"{block}.attn_norm")
        if attention:
            _attention(spec, layer, norms=True)
        else:
            spec.random(f"{block}.shortconv.conv.weight", spec.n_embd, l_cache, gain=1.5)
            spec.random(f"{block}.shortconv.in_proj.weight", 3 * spec.n_embd, spec.n_embd)
            spec.random(f"{block}.shortconv.out_proj.weight", spec.n_embd, spec.n_embd, gain=2.0)
        _gated_ffn(spec, layer)
    return spec


def _encoder(**overrides: Any) -> ModelSpec:
    spec = ModelSpec("bert", **{"vocabulary": wpm_vocabulary(), "n_ctx": 512, **overrides})
    spec.n_head_kv = spec.n_head
    spec.metadata["attention.causal"] = False
    spec.metadata["pooling_type"] = 1
    _embeddings(spec, output_norm=None)
    spec.random("token_types.weight", 2, spec.n_embd)
    spec.random("position_embd.weight", spec.n_ctx, spec.n_embd)
    spec.norm("token_embd_norm", bias=True)
    for layer in range(spec.n_layer):
        block = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            spec.random(f"{block}.{part}.weight", spec.n_embd, spec.n_embd)
        spec.norm(f"{block}.attn_output_norm", bias=True)
        spec.random(f"{block}.ffn_up.weight", spec.n_ff, spec.n_embd)
        spec.random(f"{block}.ffn_down.weight", spec.n_embd, spec.n_ff)
        spec.norm(f"{block}.layer_output_norm", bias=True)
    return spec


KINDS: dict[str, Callable[..., ModelSpec]] = {
    "plain": _plain,
    "spm": _spm,
    "base": _base,
    "swa": _swa,
    "recurrent": _recurrent,
    "hybrid": _hybrid,
    "encoder": _encoder,
}


def _embeddings(
    spec: ModelSpec, *, output_norm: str | None = "output_norm", bias: bool = False
) -> None:
    n_vocab = len(spec.vocabulary.tokens)
    spec.random("token_embd.weight", n_vocab, spec.n_embd, gain=spec.n_embd**0.5)
    if output_norm is None:
        return
    spec.norm(output_norm, bias=bias)
    spec.random("output.weight", n_vocab, spec.n_embd, gain=3.0)
    scales = _logit_scales(spec)[:, None]
    spec.tensors["output.weight"] *= scales.astype(spec.tensors["output.weight"].dtype)


def _logit_scales(spec: ModelSpec) -> np.ndarray:
    """Return a factor for each token's logit; tokens with 0 are not sampled greedily."""
    excluded = {TokenType.CONTROL, TokenType.UNKNOWN}
    vocabulary = spec.vocabulary
    scale = [0.0 if kind in excluded else 1.0 for kind in vocabulary.types]
    if spec.printable:
        is_text = [len(p) > 1 and p.isascii() and b"\n" not in p[:-1] for p in vocabulary.pieces]
        scale = [old if keep else 0.0 for old, keep in zip(scale, is_text, strict=True)]
    for piece, factor in spec.logit_scale.items():
        scale[vocabulary.pieces.index(piece.encode() if isinstance(piece, str) else piece)] = factor
    return np.array(scale, dtype=np.float32)


def _attention(spec: ModelSpec, layer: int, *, norms: bool = False) -> None:
    block, head = f"blk.{layer}", spec.n_embd // spec.n_head
    spec.random(f"{block}.attn_q.weight", spec.n_embd, spec.n_embd, gain=1.4)
    spec.random(f"{block}.attn_k.weight", spec.n_head_kv * head, spec.n_embd, gain=1.4)
    spec.random(f"{block}.attn_v.weight", spec.n_head_kv * head, spec.n_embd, gain=1.4)
    gain = spec.attention_gain
    spec.random(f"{block}.attn_output.weight", spec.n_embd, spec.n_embd, gain=gain)
    if norms:
        spec.norm(f"{block}.attn_q_norm", head)
        spec.norm(f"{block}.attn_k_norm", head)


def _gated_ffn(spec: ModelSpec, layer: int) -> None:
    block = f"blk.{layer}"
    spec.norm(f"{block}.ffn_norm")
    spec.random(f"{block}.ffn_gate.weight", spec.n_ff, spec.n_embd, gain=1.5)
    spec.random(f"{block}.ffn_up.weight", spec.n_ff, spec.n_embd, gain=1.5)
    spec.random(f"{block}.ffn_down.weight", spec.n_embd, spec.n_ff, gain=1.5)


def _metadata(spec: ModelSpec) -> dict[str, Any]:
    vocabulary = spec.vocabulary
    shape = {
        "context_length": spec.n_ctx,
        "embedding_length": spec.n_embd,
        "block_count": spec.n_layer,
        "feed_forward_length": spec.n_ff,
        "attention.head_count": spec.n_head,
        "attention.head_count_kv": spec.n_head_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "vocab_size": len(vocabulary.tokens),
    }
    tokenizer: dict[str, Any] = {
        "model": vocabulary.model,
        "pre": vocabulary.pre,
        "tokens": vocabulary.tokens,
        "token_type": [int(kind) for kind in vocabulary.types],
        "scores": vocabulary.scores,
        "merges": vocabulary.merges or None,
        "token_type_count": 2 if vocabulary.model == "bert" else None,
    }
    ids = {
        f"{role}_token_id": vocabulary.tokens.index(text)
        for role, text in vocabulary.special.items()
    }
    return {
        "general.name": f"Tiny {spec.arch}",
        "general.architecture": spec.arch,
        **{f"{spec.arch}.{key}": value for key, value in (shape | spec.metadata).items()},
        **{f"tokenizer.ggml.{k}": v for k, v in (tokenizer | ids | vocabulary.flags).items()},
        "tokenizer.chat_template": spec.chat_template,
    }


def _write(path: Path, spec: ModelSpec) -> None:
    writer = gguf.GGUFWriter(path, spec.metadata.pop("general.architecture"))
    for key, value in spec.metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, tensor in spec.tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# Files that are not loadable models, made from the bytes of a valid one.
BAD_MODELS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "truncated header": lambda good: good[:100],
    "truncated weights": lambda good: good[: len(good) * 2 // 3],
    "last byte missing": lambda good: good[:-1],
    "HTML page": lambda good: b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n",
    "Git LFS pointer": lambda good: (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:%064x\nsize %d\n" % (zlib.crc32(good), len(good))
    ),
    "text": lambda good: b"This is not a model.\n" * 100,
    "flipped magic": lambda good: flip_bytes(good, 1),
    "flipped version": lambda good: flip_bytes(good, 6),
    "flipped tensor count": lambda good: flip_bytes(good, 11),
    "flipped metadata count": lambda good: flip_bytes(good, 19),
    "flipped key length": lambda good: flip_bytes(good, 30),
    "unknown architecture": lambda good: good.replace(b"llama", b"alpha"),
    "tensor missing": lambda good: good.replace(b"output_norm.weight", b"output_nrom.weight"),
}


def flip_bytes(data: bytes, *offsets: int) -> bytes:
    """Return `data` with all bits of the bytes at `offsets` inverted."""
    flipped = bytearray(data)
    for offset in offsets:
        flipped[offset] ^= 0xFF
    return bytes(flipped)
