"""The number of layers on the GPU, with a hand-worked example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmtool.engine.llama import devices
from llmtool.engine.llama.devices import Device, fit_layers
from llmtool.models.gguf.memory import kv_bytes
from llmtool.models.gguf.reader import read_header

GB = 10**9


def gpu(free_bytes: int) -> Device:
    return Device("GPU0", "a card", "gpu", free_bytes, 24 * GB)


@pytest.mark.parametrize(
    ("size", "free", "layers"),
    [
        (5 * GB, None, 0),  # no GPU
        (5 * GB, 7 * GB, -1),  # 5.5 + 1 GB fit
    ],
    ids=["no-gpu", "all"],
)
def test_header_is_not_read_without_a_gpu_or_if_all_layers_fit(
    size: int, free: int | None, layers: int
) -> None:
    found = [] if free is None else [gpu(free)]
    assert fit_layers(Path("is-not-read.gguf"), size, found) == layers


def test_gpu_gets_as_many_layers_as_fit(
    tiny_model: Callable[..., Path],
) -> None:
    path = tiny_model("plain", n_layer=4)
    header = read_header(path)
    size = 5 * GB  # as if each of four layers and the rest took 1 GB
    per_layer = GB + kv_bytes(header, 4096) / 4
    assert fit_layers(path, size, [gpu(GB // 2)]) == 0
    for n_layers in range(4):
        free = int(GB + per_layer * n_layers + 1000)
        assert fit_layers(path, size, [gpu(free)]) == n_layers
    assert fit_layers(path, size, [gpu(int(GB + per_layer * 4 + 1000))]) == 4


def test_llama_cpp_finds_the_cpu() -> None:
    found = devices.devices()
    assert any(device.kind == "cpu" and device.total_bytes > 0 for device in found)
    features = devices.build_features()
    assert features.get("CPU"), features
