"""The models that we suggest, and which of them fit a machine."""

from __future__ import annotations

import importlib.resources
from typing import Literal

import msgspec

from llmtool.sizes import format_bytes

_OVERHEAD_BYTES = 700_000_000  # KV cache of some thousand tokens, compute buffers, the program
_SHARE = 0.8  # of the memory: the rest is for everything else
_SLOW_ACTIVE = 5.0  # billions of parameters per token that are slow without a GPU


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalogue; see catalogue.yaml for the units."""

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
    def need_bytes(self) -> int:
        """What it takes to run, roughly: the weights, a tenth for buffers, a small context."""
        return round(self.size_bytes * 1.1) + _OVERHEAD_BYTES


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A suggestion: where the model would run, and why it stands where it does."""

    entry: Entry
    runs_on: Literal["gpu", "cpu"]
    reason: str


def load() -> tuple[Entry, ...]:
    """Read the catalogue, best model first."""
    from llmtool import safe_yaml

    resource = importlib.resources.files("llmtool.models") / "catalogue.yaml"
    text = resource.read_text(encoding="utf-8")
    return msgspec.convert(
        safe_yaml.load(text, source="catalogue.yaml"), tuple[Entry, ...], strict=False
    )


def names() -> dict[str, str]:
    """Return the short names and the repositories that they stand for."""
    return {entry.name: entry.repo for entry in load()}


def recommend(memory_bytes: int, gpu_bytes: int = 0) -> list[Choice]:
    """Return the models that fit, best first; empty when not even the smallest does.

    Sizes are those of the usual quant, and most are approximate. A model that fits on the GPU as
    a whole comes before a better one that would have to run without it.

    Args:
        memory_bytes: what is free or can be freed.
        gpu_bytes: free memory of the largest GPU, 0 for none.
    """
    on_gpu, on_cpu = [], []
    for entry in load():
        size = f"{'about ' if entry.approximate else ''}{format_bytes(entry.size_bytes)}"
        if gpu_bytes and entry.need_bytes <= gpu_bytes:
            where = f"fits on the GPU ({format_bytes(gpu_bytes)})"
            on_gpu.append(Choice(entry=entry, runs_on="gpu", reason=_say(entry, size, where)))
        elif entry.need_bytes <= memory_bytes * _SHARE and entry.active <= _SLOW_ACTIVE:
            where = f"fits in memory ({format_bytes(memory_bytes)})"
            on_cpu.append(Choice(entry=entry, runs_on="cpu", reason=_say(entry, size, where)))
    return on_gpu + on_cpu


def _say(entry: Entry, size: str, where: str) -> str:
    return f"{size}, {where}; {entry.good_at}"
