"""Build GGUF files field by field, so that a test can corrupt any single field."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

TYPES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7,
         "str": 8, "array": 9, "u64": 10, "i64": 11, "f64": 12}  # fmt: skip
_FORMS = {"u8": "<B", "i8": "<b", "u16": "<H", "i16": "<h", "u32": "<I", "i32": "<i",
          "f32": "<f", "bool": "<B", "u64": "<Q", "i64": "<q", "f64": "<d"}  # fmt: skip


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind: str, value: Any) -> bytes:
    return text(value) if kind == "str" else struct.pack(_FORMS[kind], value)


def item(key: str | bytes, kind: str, value: Any) -> bytes:
    """Encode one key; `kind` is `u32`, `str`, … or `[u32]`, `[str]`, … for an array."""
    if kind.startswith("["):
        inner = kind[1:-1]
        body = struct.pack("<IQ", TYPES[inner], len(value))
        body += b"".join(scalar(inner, one) for one in value)
        return text(key) + struct.pack("<I", TYPES["array"]) + body
    return text(key) + struct.pack("<I", TYPES[kind]) + scalar(kind, value)


def tensor(name: str | bytes, shape: Sequence[int], kind: int, offset: int) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", kind, offset)


VOCABULARY = ["<unk>", "<s>", "</s>", "a", "b"]
METADATA: dict[str, tuple[str, Any]] = {
    "general.architecture": ("str", "llama"),
    "general.name": ("str", "Hand made"),
    "general.license": ("str", "apache-2.0"),
    "llama.block_count": ("u32", 2),
    "llama.context_length": ("u32", 512),
    "llama.embedding_length": ("u32", 64),
    "llama.feed_forward_length": ("u32", 128),
    "llama.attention.head_count": ("u32", 4),
    "llama.attention.head_count_kv": ("u32", 2),
    "llama.attention.layer_norm_rms_epsilon": ("f32", 1e-5),
    "tokenizer.ggml.model": ("str", "llama"),
    "tokenizer.ggml.tokens": ("[str]", VOCABULARY),
    "tokenizer.ggml.bos_token_id": ("u32", 1),
    "tokenizer.ggml.eos_token_id": ("u32", 2),
    "tokenizer.chat_template": ("str", "{{ messages }}"),
}
TENSORS = (("token_embd.weight", (64, 5), 0), ("output_norm.weight", (64,), 0))


def build(
    changes: Mapping[str, tuple[str, Any] | None] | None = None,
    *,
    version: int = 3,
    items: Sequence[bytes] | None = None,
    tensors: Sequence[bytes] | None = None,
    n_items: int | None = None,
    n_tensors: int | None = None,
    alignment: int = 32,
    data_bytes: int = 1536,
) -> bytes:
    """Return the bytes of a valid model with `changes` applied; None removes a key."""
    merged = {**METADATA, **(changes or {})}
    if items is None:
        items = [item(key, *value) for key, value in merged.items() if value is not None]
    if tensors is None:
        offset, tensors = 0, []
        for name, shape, kind in TENSORS:
            tensors.append(tensor(name, shape, kind, offset))
            size = 4
            for n in shape:
                size *= n
            offset += -(-size // alignment) * alignment
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(items) if n_items is None else n_items,
    )
    head += b"".join(items) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + b"\0" * data_bytes
