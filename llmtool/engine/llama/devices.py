"""Devices and build features of llama.cpp on this machine."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from llmtool.arguments import check_range
from llmtool.engine.llama.bindings import bindings
from llmtool.errors import UsageError
from llmtool.option_names import option

_RESERVED_BYTES = 10**9  # for compute buffers
_TYPICAL_CTX = 4096


DeviceKind = Literal["cpu", "gpu", "igpu", "accelerator"]  # in llama.cpp's order


class Device(msgspec.Struct, frozen=True):
    """A device that llama.cpp can use. Memory sizes are 0 if unknown."""

    name: str
    description: str
    kind: DeviceKind
    free_bytes: int
    total_bytes: int


def devices() -> list[Device]:
    """Return the devices that llama.cpp has found."""
    ggml = bindings()._lib  # libllama also exports the symbols of libggml
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    for name in ("ggml_backend_dev_name", "ggml_backend_dev_description"):
        getattr(ggml, name).restype = ctypes.c_char_p
    kinds: tuple[DeviceKind, ...] = get_args(DeviceKind)
    found = []
    for index in range(ggml.ggml_backend_dev_count()):
        device = ctypes.c_void_p(ggml.ggml_backend_dev_get(ctypes.c_size_t(index)))
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        kind = ggml.ggml_backend_dev_type(device)
        found.append(
            Device(
                ggml.ggml_backend_dev_name(device).decode("utf-8", "replace"),
                ggml.ggml_backend_dev_description(device).decode("utf-8", "replace"),
                kinds[kind] if kind < len(kinds) else "accelerator",
                free.value,
                total.value,
            )
        )
    return found


def parse_layers(choice: int | str) -> int | None:
    """Return `n_gpu_layers` as `load_model` takes it: None for "auto", -1 for "all", or a number.

    Raises:
        UsageError: any other value.
    """
    if choice == "auto":
        return None
    try:
        n_layers = -1 if choice == "all" else int(choice)
    except ValueError:
        given = option("n_gpu_layers", choice)
        raise UsageError(f"{given}: must be auto, all or a number") from None
    check_range("n_gpu_layers", n_layers, -1)
    return n_layers


def fit_layers(path: Path, size_bytes: int, found: Sequence[Device]) -> int:
    """Return how many layers of a model fit on the GPUs: -1 for all, 0 without a GPU.

    It reserves 1 GB for compute buffers. The size of a layer includes its KV cache for 4,096
    tokens.

    Example:
        >>> from pathlib import Path
        >>> fit_layers(Path("any.gguf"), 10**9, [])
        0
    """
    free = sum(device.free_bytes for device in found if device.kind in ("gpu", "igpu"))
    if free == 0:
        return 0
    if size_bytes * 1.1 + _RESERVED_BYTES <= free:
        return -1
    from llmtool.models.gguf.memory import kv_bytes
    from llmtool.models.gguf.reader import read_header

    header = read_header(path)
    layers = header.block_count or 1
    per_layer = size_bytes / (layers + 1) + kv_bytes(header, _TYPICAL_CTX) / layers
    return max(0, min(layers, int((free - _RESERVED_BYTES) / per_layer)))


def build_features() -> dict[str, list[str]]:
    """Return the build features of each backend: {"CPU": ["SSE3", "AVX2", ...], ...}."""
    text = bindings().llama_print_system_info().decode("utf-8", "replace")
    features: dict[str, list[str]] = {}
    backend = ""
    for item in text.split("|"):
        name, _, value = item.strip().rpartition("=")
        if ":" in name:
            backend, _, name = (part.strip() for part in name.partition(":"))
        name, value = name.strip(), value.strip()
        if name and backend:
            listed = features.setdefault(backend, [])
            if value != "0":
                listed.append(name if value == "1" else f"{name}={value}")
    return features
