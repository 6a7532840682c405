"""Write LoRA adapters with random weights for the models of `tiny_model`."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tiny_model import KINDS

RANK, ALPHA = 4, 8.0
_ADAPTED = ("attn_q.", "attn_v.", "attn_output.", "ffn_down.", "ssm_in.", "ssm_out.", "in_proj.")


def adapter_weights(
    kind: str = "plain", *, seed: int = 1, gain: float = 0.6
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the matrices A (rank, columns) and B (rows, rank) for tensors of a kind of model."""
    found = {}
    for name, tensor in KINDS[kind]().tensors.items():
        if tensor.ndim == 2 and any(part in name for part in _ADAPTED):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            rows, columns = tensor.shape
            a = rng.standard_normal((RANK, columns), dtype=np.float32) / np.sqrt(columns)
            b = rng.standard_normal((rows, RANK), dtype=np.float32) * gain / np.sqrt(ALPHA)
            found[name] = a.astype(np.float32), b.astype(np.float32)
    return found


def merged(weights: Mapping[str, tuple[np.ndarray, np.ndarray]], scale: float) -> dict[str, Any]:
    """Return what an adapter adds to each tensor, for `added` of `write_tiny_model`."""
    return {name: scale * ALPHA / RANK * b @ a for name, (a, b) in weights.items()}


def write_tiny_adapter(
    path: Path,
    kind: str = "plain",
    *,
    seed: int = 1,
    metadata: Mapping[str, str | list[int] | None] = {},
    only: str = "",
    rename: str | None = None,
    dtype: str = "float32",
) -> Path:
    """Write an adapter to `path` and return `path`.

    `metadata` sets keys, or removes them if None. With `only` the adapter has the tensors whose
    names contain it, with `rename` under another name. `dtype` is the type of the tensors.
    """
    writer = gguf.GGUFWriter(path, KINDS[kind]().arch)
    keys = {"general.type": "adapter", "adapter.type": "lora", **metadata}
    for key, value in keys.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT32)
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, (a, b) in adapter_weights(kind, seed=seed).items():
        if only in name:
            writer.add_tensor(f"{rename or name}.lora_a", a.astype(dtype))
            writer.add_tensor(f"{rename or name}.lora_b", b.astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
