"""The catalogue of recommended models, and the choice of those that fit a machine."""

from __future__ import annotations

import importlib.resources
from typing import Literal

import msgspec

from llmtool.sizes import format_bytes

_OVERHEAD_BYTES = 700_000_000  # KV cache of a few thousand tokens, compute buffers, the program
_USABLE_MEMORY = 0.8  # share of the memory; other programs need the rest
_MAX_ACTIVE_ON_CPU = 5.0  # billions of active parameters; larger models are slow without a GPU


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model in the catalogue; catalogue.yaml lists the units."""

    name: str
    repo: str
    parameters: float
    active: float
    gb: float
    approximate: bool
    licence: str
    good_at: str

    @property
    def size_bytes(self) -> int:
        return round(self.gb * 1e9)

    @property
    def required_bytes(self) -> int:
        """Approximate memory to run the model: weights, buffers, a small context."""
        return round(self.size_bytes * 1.1) + _OVERHEAD_BYTES


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """A recommended model, the device to run it on, and the reason."""

    entry: CatalogueEntry
    runs_on: Literal["gpu", "cpu"]
    reason: str


def load() -> tuple[CatalogueEntry, ...]:
    """Read the catalogue, best model first."""
    from llmtool import safe_yaml

    resource = importlib.resources.files("llmtool.models") / "catalogue.yaml"
    text = resource.read_text(encoding="utf-8")
    return msgspec.convert(
        safe_yaml.load(text, source="catalogue.yaml"), tuple[CatalogueEntry, ...], strict=False
    )


def names() -> dict[str, str]:
    """Return the mapping from short name to repository."""
    return {entry.name: entry.repo for entry in load()}


def recommend(memory_bytes: int, gpu_bytes: int = 0) -> list[Recommendation]:
    """Return the models that fit, best first.

    Sizes are those of the default quant, and most are approximate. A model that fits on the GPU
    ranks above a better one that runs on the CPU.

    Args:
        memory_bytes: available memory.
        gpu_bytes: free memory of the largest GPU, or 0.
    """
    on_gpu, on_cpu = [], []
    for entry in load():
        need = entry.required_bytes
        about = "about " if entry.approximate else ""
        size = f"{about}{format_bytes(entry.size_bytes)}, fits"
        if gpu_bytes and need <= gpu_bytes:
            reason = f"{size} on the GPU ({format_bytes(gpu_bytes)}); {entry.good_at}"
            on_gpu.append(Recommendation(entry=entry, runs_on="gpu", reason=reason))
        elif need <= memory_bytes * _USABLE_MEMORY and entry.active <= _MAX_ACTIVE_ON_CPU:
            reason = f"{size} in memory ({format_bytes(memory_bytes)}); {entry.good_at}"
            on_cpu.append(Recommendation(entry=entry, runs_on="cpu", reason=reason))
    return on_gpu + on_cpu
