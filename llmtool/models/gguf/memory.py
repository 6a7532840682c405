"""Estimate the memory of a model: weights, KV cache, recurrent state, compute buffers.

Follows llama-kv-cache*.cpp and llama-hparams.cpp of llama.cpp. Compute buffers are approximate; the
other sizes are exact for plain, sliding-window and hybrid attention. But: compressed caches of
latent attention (deepseek2 and similar) are counted by key and value length, and sparse-attention
index caches are not counted.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmtool.errors import UsageError
from llmtool.models.gguf.header import Array, Header

# bytes per value, by llama.cpp's KV cache type
KV_TYPES: Final = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
_PAD = 256  # llama.cpp rounds n_ctx up to a multiple of this
# architecture -> n: every n-th layer has full attention, the others a sliding window
_WINDOW_PERIODS: Final = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "cohere2": 4,
    "exaone4": 4,
    "llama4": 4,
    "olmo2": 4,
}
_FULL_ATTENTION_INTERVAL: Final = {"qwen35": 4, "qwen35moe": 4, "qwen3next": 4}


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a loaded model in bytes."""

    weights: int
    kv: int
    state: int  # of recurrent layers
    compute: int  # approximate

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.state + self.compute


def estimate(
    header: Header,
    n_ctx: int,
    *,
    weights_bytes: int | None = None,
    type_k: str = "f16",
    type_v: str = "f16",
    n_parallel: int = 1,
    n_ubatch: int = 512,
    swa_full: bool = True,
) -> Memory:
    """Estimate the memory of a model with a context of `n_ctx` tokens.

    Args:
        weights_bytes: the size of all parts of a split model.
        swa_full: llama.cpp's parameter of this name; sliding-window layers store all cells.

    Raises:
        UsageError: unknown KV type.
    """
    return Memory(
        weights=header.weights_bytes if weights_bytes is None else weights_bytes,
        kv=kv_bytes(
            header,
            n_ctx,
            type_k,
            type_v,
            n_parallel=n_parallel,
            n_ubatch=n_ubatch,
            swa_full=swa_full,
        ),
        state=state_bytes(header) * n_parallel,
        compute=compute_bytes(header, n_ctx, n_ubatch=n_ubatch, n_parallel=n_parallel),
    )


def kv_bytes(
    header: Header,
    n_ctx: int,
    type_k: str = "f16",
    type_v: str = "f16",
    *,
    n_parallel: int = 1,
    n_ubatch: int = 512,
    swa_full: bool = True,
) -> int:
    """Return the size in bytes of a unified KV cache of `n_ctx` tokens.

    Example:
        8,192 tokens x 30 layers x 3 heads x (64 + 64) values x 2 bytes = 188,743,680.

    Raises:
        UsageError: unknown KV type.
    """
    for name in (type_k, type_v):
        if name not in KV_TYPES:
            raise UsageError(f"unknown KV type {name!r}; choose one of {', '.join(KV_TYPES)}")
    cells = _pad(n_ctx)
    window = header.integer("attention.sliding_window") or 0
    window_cells = (
        min(cells, _pad(window * n_parallel + n_ubatch)) if window and not swa_full else cells
    )
    windowed, recurrent = windowed_layers(header), recurrent_layers(header)
    total = 0.0
    for layer, heads in enumerate(_kv_heads(header)):
        if layer in recurrent:
            continue
        key, value = header.key_length or 0, header.value_length or 0
        if layer in windowed:
            key = header.integer("attention.key_length_swa") or key
            value = header.integer("attention.value_length_swa") or value
        per_cell = heads * (key * KV_TYPES[type_k] + value * KV_TYPES[type_v])
        total += per_cell * (window_cells if layer in windowed else cells)
    return round(total)


def _kv_heads(header: Header) -> tuple[int, ...]:
    heads = header.head_count_kv or ()
    extra = header.integer("nextn_predict_layers") or 0
    shared = header.integer("attention.shared_kv_layers") or 0
    return heads[: max(0, len(heads) - max(extra, shared))]


def windowed_layers(header: Header) -> frozenset[int]:
    """Return the layers with sliding-window attention."""
    if not header.integer("attention.sliding_window"):
        return frozenset()
    blocks = header.block_count or 0
    pattern = header.metadata.get(
        f"{header.architecture}.attention.sliding_window_pattern",
        _WINDOW_PERIODS.get(header.architecture, 1),
    )
    if isinstance(pattern, Array):
        return frozenset(i for i, windowed in enumerate(pattern.values or ()) if windowed)
    if header.architecture not in _WINDOW_PERIODS or not isinstance(pattern, int):
        return frozenset()
    return frozenset(i for i in range(blocks) if not pattern or i % pattern < pattern - 1)


def recurrent_layers(header: Header) -> frozenset[int]:
    """Return the layers with a recurrent state instead of keys and values."""
    blocks = header.block_count or 0
    given = header.per_layer("attention.recurrent_layers")
    if given and len(given) == blocks:
        return frozenset(i for i in range(blocks) if given[i])
    if header.architecture in _FULL_ATTENTION_INTERVAL:
        default = _FULL_ATTENTION_INTERVAL[header.architecture]
        every = max(1, header.integer("full_attention_interval") or default)
        trunk = blocks - (header.integer("nextn_predict_layers") or 0)
        return frozenset(i for i in range(trunk) if (i + 1) % every)
    heads = header.head_count_kv
    if header.integer("ssm.state_size") and heads and any(heads):
        return frozenset(i for i, n in enumerate(heads) if not n)
    return frozenset(range(blocks)) if not heads or not any(heads) else frozenset()


def state_bytes(header: Header) -> int:
    """Return the size in bytes of one sequence's recurrent state, stored as f32."""
    inner = header.integer("ssm.inner_size") or 0
    state = header.integer("ssm.state_size") or 0
    groups = header.integer("ssm.group_count") or 0
    kernel = header.integer("ssm.conv_kernel") or 0
    width = header.integer("embedding_length") or 0
    convolution, memory = max(0, kernel - 1) * (inner + 2 * groups * state), state * inner
    short = header.integer("shortconv.l_cache") or 0
    if short:
        convolution, memory = width * (short - 1), 0
    head = header.integer("wkv.head_size") or 0
    if head:
        convolution = (header.integer("token_shift_count") or 2) * width
        memory = width * head
    return len(recurrent_layers(header)) * (convolution + memory) * 4


def compute_bytes(header: Header, n_ctx: int, *, n_ubatch: int = 512, n_parallel: int = 1) -> int:
    """Return the approximate size in bytes of llama.cpp's compute and output buffers.

    They have the activations of a batch, its attention masks in f16, and one row of logits for each
    sequence, since only the last token of a prompt requests its logits.
    """
    width, vocab = header.integer("embedding_length") or 0, header.n_vocab or 0
    inner = max(header.per_layer("feed_forward_length") or (4 * width,))
    inner = max(inner, header.integer("ssm.inner_size") or 0)
    n_masks = 0 if len(recurrent_layers(header)) == header.block_count else 1
    n_masks += bool(windowed_layers(header))
    activations = 4 * n_ubatch * (7 * width + 2 * inner)
    return activations + 2 * n_ubatch * n_masks * _pad(n_ctx) + 4 * vocab * n_parallel


def _pad(n: int) -> int:
    return -(-n // _PAD) * _PAD
