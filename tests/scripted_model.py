"""The scripted engine as the model of a command that runs in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtool.cancellation import Cancellation
from llmtool.cli import bootstrap
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.local_model import ReadyModel
from llmtool.models.installed import Model


class ScriptedModel(ReadyModel, frozen=True, kw_only=True):
    """The scripted engine as a model with a file."""

    file: Model
    folders: Folders
    settings: Settings
    cancellation: Cancellation
    is_default: bool = False


def use_scripted_model(
    monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine, folder: Path, name: str = "m"
) -> None:
    """Let commands in this process use the engine, as a model whose file is in `folder`."""
    file = folder / "model.gguf"
    file.write_bytes(b"GGUF")

    def open_model(
        console: Any, folders: Folders, settings: Settings, group: Any = None, *_: Any, **__: Any
    ) -> ScriptedModel:
        reference = (group and group.reference) or name
        return ScriptedModel(
            engine=engine,
            name=reference,
            file=Model(name=reference, path=file, parts=(file,), size_bytes=4, source="path"),
            folders=folders,
            settings=settings,
            cancellation=Cancellation(),
        )

    monkeypatch.setattr(bootstrap, "open_model", open_model)
    monkeypatch.setattr(bootstrap, "start_loading", lambda *_, **__: None)
