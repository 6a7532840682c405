"""Tiny GGUF models with random weights, for everything that needs llama.cpp but no sense.

    plain      llama, byte-level BPE, ChatML template
    spm        llama, SentencePiece, a template with its own beginning-of-sequence token
    base       gpt2 without a chat template
    swa        gemma3: sliding-window attention, every second layer over all positions
    recurrent  mamba: no attention at all
    hybrid     lfm2: short convolutions and attention
    encoder    bert: no decoder

The weights come from a seed and each tensor's name, and are scaled so that greedy decoding wanders.
Control tokens are never chosen unless `favour` says so: a reply always runs to `max_tokens`.
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
class Plan:
    """A model before it is written: its shape, its metadata and its tensors by name."""

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
    favour: Mapping[str | bytes, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def random(self, name: str, *shape: int, gain: float = 1.0) -> None:
        """Add a matrix (rows, columns) that keeps the size of what it multiplies, times `gain`."""
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        values = rng.standard_normal(shape, dtype=np.float32) * gain / np.sqrt(shape[-1])
        added = any(part in name for part in ("conv", "position", "token_types"))
        self.tensors[name] = values.astype(np.float32 if added else np.float16)

    def constant(self, name: str, *shape: int, value: float = 1.0) -> None:
        self.tensors[name] = np.full(shape, value, dtype=np.float32)

    def norm(self, name: str, width: int | None = None, *, bias: bool = False) -> None:
        self.constant(f"{name}.weight", width or self.n_embd)
        if bias:
            self.constant(f"{name}.bias", width or self.n_embd, value=0.0)


def write_tiny_model(path: Path, kind: str = "plain", **overrides: Any) -> Path:
    """Write a tiny model of one `kind` to `path` and return `path`.

    Args:
        overrides: fields of `Plan`. `printable` lets it say only whole UTF-8 text; `favour` scales
            the logits of tokens by what they say (`{"<|im_end|>": 3.0}` makes replies end);
            `metadata` adds to or replaces the file's keys, and None removes one.

    Example:
        write_tiny_model(tmp_path / "m.gguf", "spm", n_ctx=512, chat_template=None)
    """
    metadata = overrides.pop("metadata", {})
    plan = KINDS[kind](**overrides)
    plan.metadata = {k: v for k, v in {**_metadata(plan), **metadata}.items() if v is not None}
    _write(path, plan)
    return path


def _plain(**overrides: Any) -> Plan:
    plan = Plan("llama", **{"vocabulary": bpe_vocabulary(), "chat_template": CHATML, **overrides})
    return _llama(plan)


def _spm(**overrides: Any) -> Plan:
    plan = Plan("llama", **{"vocabulary": spm_vocabulary(), "chat_template": TURNS, **overrides})
    return _llama(plan)


def _llama(plan: Plan) -> Plan:
    _embeddings(plan)
    for layer in range(plan.n_layer):
        plan.norm(f"blk.{layer}.attn_norm")
        _attention(plan, layer)
        _gated_ffn(plan, layer)
    return plan


def _base(**overrides: Any) -> Plan:
    plan = Plan("gpt2", **{"vocabulary": bpe_vocabulary(), "n_ctx": 1024, **overrides})
    plan.n_head_kv = plan.n_head
    plan.vocabulary.special = {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}
    _embeddings(plan, bias=True)
    plan.random("position_embd.weight", plan.n_ctx, plan.n_embd, gain=plan.n_embd**0.5)
    for layer in range(plan.n_layer):
        block = f"blk.{layer}"
        plan.norm(f"{block}.attn_norm", bias=True)
        plan.random(f"{block}.attn_qkv.weight", 3 * plan.n_embd, plan.n_embd, gain=1.4)
        plan.constant(f"{block}.attn_qkv.bias", 3 * plan.n_embd, value=0.0)
        plan.random(f"{block}.attn_output.weight", plan.n_embd, plan.n_embd, gain=2.0)
        plan.constant(f"{block}.attn_output.bias", plan.n_embd, value=0.0)
        plan.norm(f"{block}.ffn_norm", bias=True)
        plan.random(f"{block}.ffn_up.weight", plan.n_ff, plan.n_embd, gain=1.5)
        plan.constant(f"{block}.ffn_up.bias", plan.n_ff, value=0.0)
        plan.random(f"{block}.ffn_down.weight", plan.n_embd, plan.n_ff, gain=1.5)
        plan.constant(f"{block}.ffn_down.bias", plan.n_embd, value=0.0)
    return plan


def _swa(*, sliding_window: int = 32, **overrides: Any) -> Plan:
    given = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, "n_layer": 4, **overrides}
    plan = Plan("gemma3", **given)
    plan.metadata["attention.sliding_window"] = sliding_window
    plan.metadata["attention.sliding_window_pattern"] = [i % 2 == 0 for i in range(plan.n_layer)]
    _embeddings(plan)
    for layer in range(plan.n_layer):
        block = f"blk.{layer}"
        plan.norm(f"{block}.attn_norm")
        _attention(plan, layer, norms=True)
        plan.norm(f"{block}.post_attention_norm")
        _gated_ffn(plan, layer)
        plan.norm(f"{block}.post_ffw_norm")
    return plan


def _recurrent(*, d_state: int = 8, d_conv: int = 4, **overrides: Any) -> Plan:
    given = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, **overrides}
    plan = Plan("mamba", **{**given, "n_head": 0, "n_head_kv": 0, "n_ff": 0})
    d_inner, dt_rank = 2 * plan.n_embd, max(plan.n_embd // 16, 1)
    plan.metadata["ssm.conv_kernel"] = d_conv
    plan.metadata["ssm.inner_size"] = d_inner
    plan.metadata["ssm.state_size"] = d_state
    plan.metadata["ssm.time_step_rank"] = dt_rank
    _embeddings(plan)
    for layer in range(plan.n_layer):
        block = f"blk.{layer}"
        plan.norm(f"{block}.attn_norm")
        plan.random(f"{block}.ssm_in.weight", 2 * d_inner, plan.n_embd, gain=1.5)
        plan.random(f"{block}.ssm_conv1d.weight", d_inner, d_conv, gain=1.5)
        plan.constant(f"{block}.ssm_conv1d.bias", d_inner, value=0.0)
        plan.random(f"{block}.ssm_x.weight", dt_rank + 2 * d_state, d_inner)
        plan.random(f"{block}.ssm_dt.weight", d_inner, dt_rank)
        plan.constant(f"{block}.ssm_dt.bias", d_inner, value=-2.0)
        decay = np.tile(-np.arange(1, d_state + 1, dtype=np.float32), (d_inner, 1))
        plan.tensors[f"{block}.ssm_a"] = decay
        plan.constant(f"{block}.ssm_d", d_inner)
        plan.random(f"{block}.ssm_out.weight", plan.n_embd, d_inner, gain=2.0)
    return plan


def _hybrid(*, l_cache: int = 3, **overrides: Any) -> Plan:
    given = {"vocabulary": bpe_vocabulary(), "chat_template": CHATML, "n_layer": 4, **overrides}
    plan = Plan("lfm2", **given)
    attends = [layer % 2 == 1 for layer in range(plan.n_layer)]
    plan.metadata["shortconv.l_cache"] = l_cache
    plan.metadata["attention.head_count_kv"] = [plan.n_head_kv * yes for yes in attends]
    _embeddings(plan, output_norm="token_embd_norm")
    for layer, attention in enumerate(attends):
        block = f"blk.{layer}"
        plan.norm(f"{block}.attn_norm")
        if attention:
            _attention(plan, layer, norms=True)
        else:
            plan.random(f"{block}.shortconv.conv.weight", plan.n_embd, l_cache, gain=1.5)
            plan.random(f"{block}.shortconv.in_proj.weight", 3 * plan.n_embd, plan.n_embd)
            plan.random(f"{block}.shortconv.out_proj.weight", plan.n_embd, plan.n_embd, gain=2.0)
        _gated_ffn(plan, layer)
    return plan


def _encoder(**overrides: Any) -> Plan:
    plan = Plan("bert", **{"vocabulary": wpm_vocabulary(), "n_ctx": 512, **overrides})
    plan.n_head_kv = plan.n_head
    plan.metadata["attention.causal"] = False
    plan.metadata["pooling_type"] = 1
    _embeddings(plan, output_norm=None)
    plan.random("token_types.weight", 2, plan.n_embd)
    plan.random("position_embd.weight", plan.n_ctx, plan.n_embd)
    plan.norm("token_embd_norm", bias=True)
    for layer in range(plan.n_layer):
        block = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            plan.random(f"{block}.{part}.weight", plan.n_embd, plan.n_embd)
        plan.norm(f"{block}.attn_output_norm", bias=True)
        plan.random(f"{block}.ffn_up.weight", plan.n_ff, plan.n_embd)
        plan.random(f"{block}.ffn_down.weight", plan.n_embd, plan.n_ff)
        plan.norm(f"{block}.layer_output_norm", bias=True)
    return plan


KINDS: dict[str, Callable[..., Plan]] = {
    "plain": _plain,
    "spm": _spm,
    "base": _base,
    "swa": _swa,
    "recurrent": _recurrent,
    "hybrid": _hybrid,
    "encoder": _encoder,
}


def _embeddings(plan: Plan, *, output_norm: str | None = "output_norm", bias: bool = False) -> None:
    n_vocab = len(plan.vocabulary.tokens)
    plan.random("token_embd.weight", n_vocab, plan.n_embd, gain=plan.n_embd**0.5)
    if output_norm is None:
        return
    plan.norm(output_norm, bias=bias)
    plan.random("output.weight", n_vocab, plan.n_embd, gain=3.0)
    plan.tensors["output.weight"] *= _loudness(plan)[:, None].astype(np.float16)


def _loudness(plan: Plan) -> np.ndarray:
    """Return the scale of each token's logit: 0 is never chosen by greedy decoding."""
    silent = {TokenType.CONTROL, TokenType.UNKNOWN}
    words = plan.vocabulary
    scale = [0.0 if kind in silent else 1.0 for kind in words.types]
    if plan.printable:
        whole = [len(p) > 1 and p.isascii() and b"\n" not in p[:-1] for p in words.pieces]
        scale = [old if keep else 0.0 for old, keep in zip(scale, whole, strict=True)]
    for piece, factor in plan.favour.items():
        scale[words.pieces.index(piece.encode() if isinstance(piece, str) else piece)] = factor
    return np.array(scale, dtype=np.float32)


def _attention(plan: Plan, layer: int, *, norms: bool = False) -> None:
    block, head = f"blk.{layer}", plan.n_embd // plan.n_head
    plan.random(f"{block}.attn_q.weight", plan.n_embd, plan.n_embd, gain=1.4)
    plan.random(f"{block}.attn_k.weight", plan.n_head_kv * head, plan.n_embd, gain=1.4)
    plan.random(f"{block}.attn_v.weight", plan.n_head_kv * head, plan.n_embd, gain=1.4)
    plan.random(f"{block}.attn_output.weight", plan.n_embd, plan.n_embd, gain=2.0)
    if norms:
        plan.norm(f"{block}.attn_q_norm", head)
        plan.norm(f"{block}.attn_k_norm", head)


def _gated_ffn(plan: Plan, layer: int) -> None:
    block = f"blk.{layer}"
    plan.norm(f"{block}.ffn_norm")
    plan.random(f"{block}.ffn_gate.weight", plan.n_ff, plan.n_embd, gain=1.5)
    plan.random(f"{block}.ffn_up.weight", plan.n_ff, plan.n_embd, gain=1.5)
    plan.random(f"{block}.ffn_down.weight", plan.n_embd, plan.n_ff, gain=1.5)


def _metadata(plan: Plan) -> dict[str, Any]:
    words = plan.vocabulary
    shape = {
        "context_length": plan.n_ctx,
        "embedding_length": plan.n_embd,
        "block_count": plan.n_layer,
        "feed_forward_length": plan.n_ff,
        "attention.head_count": plan.n_head,
        "attention.head_count_kv": plan.n_head_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "vocab_size": len(words.tokens),
    }
    tokenizer: dict[str, Any] = {
        "model": words.model,
        "pre": words.pre,
        "tokens": words.tokens,
        "token_type": [int(kind) for kind in words.types],
        "scores": words.scores,
        "merges": words.merges or None,
        "token_type_count": 2 if words.model == "bert" else None,
    }
    ids = {f"{role}_token_id": words.tokens.index(text) for role, text in words.special.items()}
    return {
        "general.name": f"Tiny {plan.arch}",
        "general.architecture": plan.arch,
        **{f"{plan.arch}.{key}": value for key, value in (shape | plan.metadata).items()},
        **{f"tokenizer.ggml.{k}": v for k, v in (tokenizer | ids | words.flags).items()},
        "tokenizer.chat_template": plan.chat_template,
    }


def _write(path: Path, plan: Plan) -> None:
    writer = gguf.GGUFWriter(path, plan.metadata.pop("general.architecture"))
    for key, value in plan.metadata.items():
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
    for name, tensor in plan.tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# What people have instead of a model, made from the bytes of a good one.
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


def flip_bytes(good: bytes, *places: int) -> bytes:
    """Return `good` with every bit of the bytes at `places` turned over."""
    bad = bytearray(good)
    for place in places:
        bad[place] ^= 0xFF
    return bytes(bad)
