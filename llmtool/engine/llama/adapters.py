"""LoRA adapters: load their files into a model, and select those of a request."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmtool import files
from llmtool.engine.llama.context import ActiveAdapters
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import Adapter
from llmtool.errors import ModelNotFound, ModelUnreadable, os_error_reason
from llmtool.models.gguf.header import Header

_UNUSABLE_TYPES = {"F64", "I8", "I16", "I32", "I64"}  # llama.cpp crashes when it multiplies them
_ALORA = "adapter.alora.invocation_tokens"


class _Loaded(msgspec.Struct, frozen=True):
    version: tuple[int, ...]
    identity: files.FileIdentity
    native: Any


class Adapters:
    """The adapters of a model, each loaded on first use, and freed with the model.

    Args:
        weights: the model.
        check: checks a file before it is loaded, such as `preflight_adapter`.
    """

    def __init__(self, weights: LlamaModel, *, check: Callable[[Path], object]) -> None:
        self._weights, self._check = weights, check
        self._loaded: dict[str, _Loaded] = {}

    def activate(self, adapters: Sequence[Adapter]) -> ActiveAdapters:
        """Return adapters, loaded.

        The scales of the same file add up; a scale of 0 has no effect.

        Raises:
            ModelNotFound, ModelUnreadable: a file is missing, damaged, not a LoRA adapter, or one
                of another model.
        """
        scales: dict[files.FileIdentity, float] = {}
        natives: dict[files.FileIdentity, Any] = {}
        for adapter in adapters:
            loaded = self._load(adapter.path)
            natives[loaded.identity] = loaded.native
            scales[loaded.identity] = scales.get(loaded.identity, 0.0) + adapter.scale
        used = sorted(item for item in scales.items() if item[1])
        if not used:
            return ActiveAdapters()
        return ActiveAdapters(
            tuple((natives[identity], scale) for identity, scale in used), tuple(used)
        )

    def _load(self, name: str) -> _Loaded:
        path = Path(name)
        try:
            state = path.stat()
        except FileNotFoundError:
            raise ModelNotFound(f"{path}: no such LoRA adapter") from None
        except OSError as exc:
            raise ModelNotFound(f"{path}: {os_error_reason(exc)}") from exc
        version = state.st_ino, state.st_dev, state.st_size, state.st_mtime_ns
        if not stat.S_ISREG(state.st_mode):
            raise ModelUnreadable(f"{path} is not a regular file; use the path of a .gguf file")
        loaded = self._loaded.get(name)
        if loaded is None or loaded.version != version:
            identity = files.identify(path)
            check_adapter(path, self._weights.metadata("general.architecture") or "")
            self._check(path)
            native = self._weights.load_adapter(path)
            if files.identify(path) != identity:
                raise ModelUnreadable(f"{path} was changed while it was loaded; try again")
            loaded = self._loaded[name] = _Loaded(version, identity, native)
        return loaded


def check_adapter(path: Path, architecture: str) -> Header:
    """Check that a file is a LoRA adapter for models of an architecture; return its header.

    Raises:
        ModelNotFound: the file does not exist.
        ModelUnreadable: it is damaged, not a LoRA adapter, or for another architecture.
    """
    from llmtool.models.gguf.reader import read_header

    header = read_header(path)
    kind = header.text("general.type") or "model"
    if kind != "adapter":
        what = "a language model; pass it as the model" if kind == "model" else f"a file of {kind}"
        raise ModelUnreadable(f"{path}: not a LoRA adapter, but {what}")
    if header.text("adapter.type") != "lora":
        raise ModelUnreadable(f"{path}: not a LoRA adapter, but {header.text('adapter.type')!r}")
    if _ALORA in header.metadata:
        raise ModelUnreadable(f"{path}: activated LoRA adapters (aLoRA) are not supported")
    for tensor in header.tensors:
        if tensor.type in _UNUSABLE_TYPES:
            raise ModelUnreadable(f"{path}: tensor {tensor.name!r} is stored as {tensor.type}")
    if header.architecture != architecture:
        raise ModelUnreadable(
            f"{path}: for models of the architecture {header.architecture or 'unknown'}, not "
            f"{architecture}; use the adapter's base model"
        )
    return header
