"""Download a model into the Hub cache: plan, download, verify, link, register.

A file is renamed into place only after its checksum was verified, so the cache is always valid. Its
layout is that of huggingface_hub, transformers and llama.cpp.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmtool.errors import DownloadError, os_error_reason
from llmtool.models import quants, registry
from llmtool.models.hub import cache, transfer
from llmtool.models.hub.blob_lock import lock_blob
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.client import Hub
from llmtool.models.hub.environment import name_path
from llmtool.models.hub.listing import Listing, RemoteFile
from llmtool.models.installed import Model, describe_downloaded
from llmtool.models.layout import PART_SUFFIX, SPARE_BYTES, Layout, find_free_bytes
from llmtool.models.reference import Reference
from llmtool.sizes import format_bytes
from llmtool.temporary import SUFFIX, TemporaryFile, default_mode, remove_leftovers


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a model. `cached_bytes` is less than `size_bytes` if a part is missing."""

    path: str
    size_bytes: int
    digest: str
    cached_bytes: int


class DownloadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a model on the Hub, with the number of bytes already cached.

    `repo` is the requested name, `listing.repo` the current one, which differs after a rename.
    `folder` is the repository's folder in the cache, `free_bytes` the free space on its disk.
    """

    name: str
    repo: str
    revision: str | None
    listing: Listing
    quant: str | None
    files: tuple[PlannedFile, ...]
    folder: Path
    free_bytes: int

    @property
    def commit(self) -> str:
        return self.listing.commit

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        return sum(file.size_bytes - file.cached_bytes for file in self.files)

    @property
    def fits_disk(self) -> bool:
        return not self.missing_bytes or self.missing_bytes + SPARE_BYTES <= self.free_bytes

    @property
    def memory_bytes(self) -> int:
        """Approximate memory to run the model: weights and a small context."""
        return self.size_bytes + self.size_bytes // 10 + 256 * 1024 * 1024


def plan_download(
    layout: Layout, reference: Reference, hub: Hub, known: registry.Registry
) -> DownloadPlan:
    """List a repository, choose the model's files, and check which of them are cached.

    A reference without quant or file selects the quant of the previous download, if any.

    Raises: as `Store.plan`.
    """
    repo = reference.repo or ""
    listing = hub.list_repo(repo, reference.revision)
    choice = _choose(reference, listing, known)
    folder = cache.repo_folder(layout.hub_cache, repo)
    files = (hub.complete(listing, listing.files[path]) for path in choice.files)
    name = Reference(
        kind="hub",
        repo=repo,
        quant=None if reference.file else choice.quant,
        file=reference.file or (None if choice.quant else choice.file),
        revision=reference.revision,
    )
    return DownloadPlan(
        name=str(name),
        repo=repo,
        revision=reference.revision,
        listing=listing,
        quant=choice.quant,
        files=tuple(_plan_file(folder, listing.commit, file) for file in files),
        folder=folder,
        free_bytes=find_free_bytes(layout.hub_cache),
    )


def download_model(layout: Layout, plan: DownloadPlan, hub: Hub) -> Model:
    """Download, verify and register the missing files of a plan; see `Store.download`."""
    callbacks = hub.callbacks
    if plan.listing.repo.lower() != plan.repo.lower():
        callbacks.on_note(f"{plan.repo} was renamed to {plan.listing.repo}")
    with _disk_errors(layout.hub_cache):
        layout.hub_cache.mkdir(parents=True, exist_ok=True)
    if not plan.fits_disk:
        raise DownloadError(
            f"{plan.name} needs {format_bytes(plan.missing_bytes + SPARE_BYTES)} of disk space, "
            f"but {layout.hub_cache} has {format_bytes(plan.free_bytes)}; free some space, or set "
            f"HF_HUB_CACHE to a folder on another disk"
        )
    done = 0
    for file in plan.files:
        _download_file(layout, plan, file, hub, callbacks.at(done, plan.size_bytes))
        done += file.size_bytes
    _write_ref(plan)
    record = registry.Record(
        source="hub",
        name=plan.repo,
        quant=plan.quant,
        revision=plan.revision,
        commit=plan.commit,
        files=tuple(
            registry.FileRecord(path=file.path, size_bytes=file.size_bytes, digest=file.digest)
            for file in plan.files
        ),
    )
    registry.update(
        layout.registry_file,
        lambda known: known.with_record(record),
        cancelled=callbacks.cancelled,
    )
    return describe_downloaded(layout, record, plan.revision)


def _choose(reference: Reference, listing: Listing, known: registry.Registry) -> quants.ModelFiles:
    sizes: dict[str, int | None] = {path: f.size_bytes for path, f in listing.files.items()}
    quant, file = reference.quant, reference.file
    if quant is None and file is None:
        earlier = known.find(reference)
        if earlier and all(f.path in sizes for f in earlier.files):
            file = earlier.files[0].path
    try:
        return quants.choose(sizes, quant, file)
    except quants.ChoiceError as exc:
        raise quants.ChoiceError(f"{reference.repo}: {exc}", reason=exc.reason) from exc


def _plan_file(folder: Path, commit: str, file: RemoteFile) -> PlannedFile:
    blob = folder / "blobs" / file.digest
    cached = _size(_part(blob)) or 0
    if file.size_bytes in (_size(folder / "snapshots" / commit / file.path), _size(blob)):
        cached = file.size_bytes
    return PlannedFile(
        path=file.path,
        size_bytes=file.size_bytes,
        digest=file.digest,
        cached_bytes=cached if cached <= file.size_bytes else 0,
    )


def _download_file(
    layout: Layout, plan: DownloadPlan, file: PlannedFile, hub: Hub, callbacks: Callbacks
) -> None:
    blob = plan.folder / "blobs" / file.digest
    pointer = plan.folder / "snapshots" / plan.commit / file.path
    if _size(pointer) == file.size_bytes:
        callbacks.on_progress(file.size_bytes, file.size_bytes)
        return
    locked = lock_blob(layout.hub_cache, plan.repo, file.digest, callbacks)
    with locked, _disk_errors(plan.folder):
        blob.parent.mkdir(parents=True, exist_ok=True)
        if _size(blob) != file.size_bytes:
            transfer.download(
                functools.partial(hub.open_file, plan.listing, file.path),
                _part(blob),
                size=file.size_bytes,
                checksum=file.digest,
                label=file.path,
                retry=hub.retry,
                callbacks=callbacks,
            )
            os.replace(_part(blob), blob)
            _sync_folder(blob.parent)
        callbacks.on_progress(file.size_bytes, file.size_bytes)
        _link(blob, pointer)


def _link(blob: Path, pointer: Path) -> None:
    """Link the file in the snapshot to its blob, replacing a wrong or dangling link."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    temporary = pointer.with_name(f".{blob.name}{SUFFIX}")  # the blob is locked
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        os.replace(blob, pointer)  # without symbolic links, the snapshot contains the file
        return
    os.replace(temporary, pointer)


def _write_ref(plan: DownloadPlan) -> None:
    revision = plan.revision or "main"
    if revision == plan.commit:
        return
    path = plan.folder / "refs" / revision
    with _disk_errors(plan.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Outside of `refs`, where other programs would take it for a revision.
        remove_leftovers(plan.folder)
        temporary = TemporaryFile(plan.folder / "ref", mode=default_mode())
        try:
            os.write(temporary.descriptor, plan.commit.encode("ascii"))
            temporary.rename(path)
        except BaseException:
            temporary.discard()
            raise


def _part(blob: Path) -> Path:
    return blob.with_name(blob.name + PART_SUFFIX)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        problem = f"cannot write to {folder}: {os_error_reason(exc)}"
        raise DownloadError(name_path(folder, problem)) from exc
