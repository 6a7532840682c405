"""The names of the models that a server listed last, for completion without the network."""

from __future__ import annotations

from pathlib import Path

import msgspec

_MAX_NAMES, _MAX_LENGTH = 200, 200


class _Model(msgspec.Struct):
    name: str


class _Server(msgspec.Struct):
    models: list[_Model] | None = None


class _Saved(msgspec.Struct):
    """The part of what `discovery` saves that has names."""

    server: _Server


def saved_path(cache: Path, name: str) -> Path:
    """Return the path of the file of an endpoint."""
    return cache / "servers" / f"{name}.json"


def saved_files(cache: Path) -> list[Path]:
    """Return the paths of the files of all endpoints."""
    return [*(cache / "servers").glob("*.json")]


def load_names(cache: Path, endpoint: str) -> list[str]:
    """Return the names of an endpoint's models, [] if they are unknown."""
    try:
        saved = msgspec.json.decode(saved_path(cache, endpoint).read_bytes(), type=_Saved)
    except (OSError, ValueError, RecursionError):
        return []
    names = (each.name for each in saved.server.models or ())
    return [name for name in names if len(name) <= _MAX_LENGTH and name.isprintable()][:_MAX_NAMES]
