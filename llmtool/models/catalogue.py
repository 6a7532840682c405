"""The catalogue of recommended models, and the choice of those that fit a machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from llmtool.sizes import format_bytes

_OVERHEAD_BYTES = 700_000_000  # KV cache of a few thousand tokens, compute buffers, the program
_USABLE_MEMORY = 0.8  # share of the memory; other programs need the rest
_READING_SPEED = 8  # tokens per second; slower models rank below the others
# Attention and output are read whole, and experts in small pieces.
_SPARSE_OVERHEAD = 1.3
# Effective bytes per second while decoding. CPU: the starter and a 0.5B model reach 15 and 24 GB/s
# on two cores (benchmarks/README.md); two memory channels limit more cores.
_BANDWIDTH_PER_THREAD, _MAX_CPU_BANDWIDTH = 8e9, 60e9
# Nominal memory bandwidth in GB/s by the name of the GPU, of which decoding reaches about 60 %.
_GPU_BANDWIDTHS = {
    r"B[12]00": 8000,
    r"H200": 4800,
    r"H100|A100": 2000,
    r"5090": 1792,
    r"4090|3090|7900|M[1-5] Ultra": 900,
    r"4080|3080|A6000|L40|V100": 700,
    r"M[1-5] Max": 400,
    r"4070|3070|A10|L4|T4": 300,
    r"M[1-5] Pro": 200,
    r"M[1-5]": 90,
}
_UNKNOWN_GPU_BANDWIDTH, _GPU_EFFICIENCY = 250, 0.6


class CatalogueEntry(NamedTuple):
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

    @property
    def bytes_per_token(self) -> float:
        """Weights that are read for each token: those of the active parameters."""
        share = self.active / self.parameters
        return self.size_bytes * (share if share == 1 else min(1, share * _SPARSE_OVERHEAD))


class Recommendation(NamedTuple):
    """A recommended model, the device to run it on, its estimated speed, and the reason."""

    entry: CatalogueEntry
    runs_on: Literal["gpu", "cpu"]
    tokens_per_second: int
    reason: str


def load() -> tuple[CatalogueEntry, ...]:
    """Read the catalogue, best model first."""
    from llmtool import safe_yaml

    text = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
    entries: Any = safe_yaml.load(text, source="catalogue.yaml")
    return tuple(CatalogueEntry(**entry) for entry in entries)


def names() -> dict[str, str]:
    """Return the mapping from short name to repository."""
    return {entry.name: entry.repo for entry in load()}


def cpu_bandwidth(n_threads: int) -> float:
    """Return the bytes per second that decoding reads on a CPU, approximately."""
    return min(n_threads * _BANDWIDTH_PER_THREAD, _MAX_CPU_BANDWIDTH)


def gpu_bandwidth(name: str) -> float:
    """Return the bytes per second that decoding reads on a GPU, approximately.

    Example:
        >>> gpu_bandwidth("Apple M2 Pro")
        120000000000.0
    """
    found = (gb for pattern, gb in _GPU_BANDWIDTHS.items() if re.search(rf"\b({pattern})\b", name))
    return next(found, _UNKNOWN_GPU_BANDWIDTH) * _GPU_EFFICIENCY * 1e9


def recommend(
    memory_bytes: int, gpu_bytes: int = 0, *, n_threads: int = 8, gpu_name: str = ""
) -> list[Recommendation]:
    """Return the models that fit, best first.

    Sizes are those of the default quant, and most are approximate. A model that fits on the GPU
    ranks above a better one that runs on the CPU. Models that are slower than reading rank below
    all others, the fastest first.

    Args:
        memory_bytes: available memory.
        gpu_bytes: free memory of the largest GPU, or 0.
        n_threads: CPU threads for decoding.
        gpu_name: the description of the GPU.
    """
    found = []
    for entry in load():
        need = entry.required_bytes
        about = "about " if entry.approximate else ""
        on_gpu = 0 < need <= gpu_bytes
        if not on_gpu and need > memory_bytes * _USABLE_MEMORY:
            continue
        bandwidth = gpu_bandwidth(gpu_name) if on_gpu else cpu_bandwidth(n_threads)
        speed = max(1, round(bandwidth / entry.bytes_per_token))
        place = f"on the GPU ({format_bytes(gpu_bytes)})"
        if not on_gpu:
            place = f"in memory ({format_bytes(memory_bytes)})"
        slow = "" if speed >= _READING_SPEED else f", but slow here (about {speed} tok/s)"
        found.append(
            Recommendation(
                entry=entry,
                runs_on="gpu" if on_gpu else "cpu",
                tokens_per_second=speed,
                reason=f"{about}{format_bytes(entry.size_bytes)}, fits {place}{slow}; "
                f"{entry.good_at}",
            )
        )
    return sorted(found, key=_rank)


def _rank(choice: Recommendation) -> tuple[bool, int]:
    """Return a key that sorts by readable speed, then device or speed; equal keys keep order."""
    is_slow = choice.tokens_per_second < _READING_SPEED
    return is_slow, -choice.tokens_per_second if is_slow else choice.runs_on == "cpu"
