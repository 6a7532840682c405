"""The key of a prefix: everything that the state of its tokens depends on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

ModelIdentity = tuple[str, int, int, int]
"""Real path, size in bytes, time of change in nanoseconds, inode."""


def identify(path: Path) -> ModelIdentity:
    """Return what tells a model file from others; take it when the file is loaded.

    Raises:
        OSError: the file is not there.
    """
    real = os.path.realpath(path)
    state = os.stat(real)
    # Any bytes may be in a file name; Latin-1 gives each of them a character of its own.
    name = os.fsencode(real).decode("latin-1")
    return name, state.st_size, state.st_mtime_ns, state.st_ino


def make_key(
    *,
    model: Sequence[ModelIdentity],
    build: str,
    params: Mapping[str, str | int | float | bool | None],
    tokens: Sequence[int],
) -> str:
    """Return the key of a prefix: SHA-256, in hex, over all that its state depends on, as JSON.

    Args:
        model: one identity for each file of the model.
        build: of llama.cpp.
        params: of the context, those that change the state; their order does not matter.

    Example:
        >>> make_key(model=[("/m", 9, 8, 7)], build="b1", params={"n": 1}, tokens=[1, 2])[:8]
        '55b04c6c'
    """
    import hashlib

    parts = [list(model), build, sorted(params.items()), list(tokens)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
