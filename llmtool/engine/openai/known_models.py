"""The names of the models that a server listed last, for completion without the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError

_MAX_NAMES, _MAX_LENGTH = 200, 200


def save_names(cache: Path, endpoint: str, names: Iterable[str]) -> None:
    """Save the names of an endpoint's models, unless they are unchanged or cannot be saved."""
    shown = [name for name in names if len(name) <= _MAX_LENGTH and name.isprintable()]
    data = msgspec.json.encode(shown[:_MAX_NAMES])
    path = _path(cache, endpoint)
    with contextlib.suppress(LlmtoolError, OSError):
        if not path.exists() or path.read_bytes() != data:
            files.write_atomically(path, data, is_durable=False)


def load_names(cache: Path, endpoint: str) -> list[str]:
    """Return the names of an endpoint's models, [] if they are unknown."""
    try:
        return msgspec.json.decode(_path(cache, endpoint).read_bytes(), type=list[str])
    except (OSError, ValueError):
        return []


def _path(cache: Path, endpoint: str) -> Path:
    return cache / "endpoints" / f"{endpoint}.json"
