"""Bring a model of the Hub into the Hub's cache: plan, fetch, verify, link, register.

A file becomes visible by one rename after its hash was checked. The cache is at every moment as it
was before or right, and readable by huggingface_hub, transformers and llama.cpp.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from llmtool import files
from llmtool.errors import DownloadError, ModelNotFound
from llmtool.models import quants, registry
from llmtool.models.hub import cache
from llmtool.models.hub.callbacks import OnNote, OnProgress, never, no_note, no_progress
from llmtool.models.hub.transfer import fetch
from llmtool.models.reference import Reference
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.models.hub.client import Hub
    from llmtool.models.hub.listing import Listing, RemoteFile
    from llmtool.models.installed import Model
    from llmtool.models.store import Store

SPARE_BYTES: Final = 64 * 1024 * 1024
PART_SUFFIX: Final = ".llmtool.incomplete"
FreeBytes = Callable[[Path], int]


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    digest: str
    here_bytes: int  # all of them when it is in the cache, some when a transfer was cut


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What pulling a model would do. `memory_bytes` is a guess: weights and a small context."""

    name: str
    repo: str
    revision: str | None
    commit: str
    quant: str | None
    files: tuple[PlannedFile, ...]
    folder: Path
    free_bytes: int

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        return sum(file.size_bytes - file.here_bytes for file in self.files)

    @property
    def fits_disk(self) -> bool:
        return not self.missing_bytes or self.missing_bytes + SPARE_BYTES <= self.free_bytes

    @property
    def memory_bytes(self) -> int:
        return self.size_bytes + self.size_bytes // 10 + 256 * 1024 * 1024


def find_free_bytes(folder: Path) -> int:
    """Return the free space where `folder` is or would be made."""
    for existing in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0


def plan(
    store: Store, reference: Reference, hub: Hub, *, free_bytes: FreeBytes = find_free_bytes
) -> tuple[Plan, Listing]:
    """Ask the Hub what a reference stands for, and look at what of it is here."""
    if reference.repo is None:
        raise ModelNotFound(f"{reference} is no model of the Hub; only those can be fetched")
    listing = hub.list_repo(reference.repo, reference.revision)
    choice = _choose(store, reference, listing)
    folder = cache.repo_folder(store.folders.hub_cache, reference.repo)
    files = []
    for path in choice.files:
        file = hub.complete(listing, listing.files[path])
        files.append(
            PlannedFile(
                path=path,
                size_bytes=file.size_bytes,
                digest=file.digest,
                here_bytes=_count_here(folder, listing.commit, file),
            )
        )
    name = Reference(
        kind="hub",
        repo=reference.repo,
        quant=None if reference.file else choice.quant,
        file=reference.file or (None if choice.quant else choice.file),
        revision=reference.revision,
    )
    return (
        Plan(
            name=str(name),
            repo=reference.repo,
            revision=reference.revision,
            commit=listing.commit,
            quant=choice.quant,
            files=tuple(files),
            folder=folder,
            free_bytes=free_bytes(store.folders.hub_cache),
        ),
        listing,
    )


def pull(
    store: Store,
    reference: Reference,
    hub: Hub,
    *,
    on_progress: OnProgress = no_progress,
    on_note: OnNote = no_note,
    cancelled: Callable[[], bool] = never,
    free_bytes: FreeBytes = find_free_bytes,
) -> Model:
    """Fetch what is missing of a model, verify it, and register it.

    `on_progress(done, total)` counts the bytes of all files, with what was here already.

    Raises:
        DownloadError, ModelNotFound: as the table of faults says; what came so far is kept.
        Cancelled: `cancelled` became true.
    """
    made, listing = plan(store, reference, hub, free_bytes=free_bytes)
    if listing.repo.lower() != made.repo.lower():
        on_note(f"{made.repo} is now called {listing.repo}")
    if not made.fits_disk:
        raise DownloadError(
            f"{made.name} needs {format_bytes(made.missing_bytes)} and "
            f"{format_bytes(SPARE_BYTES)} to spare, but {store.folders.hub_cache} has "
            f"{format_bytes(made.free_bytes)} free; make room, or set HF_HUB_CACHE to another disk"
        )
    done = 0
    for file in made.files:
        earlier = done

        def report(count: int, size: int, earlier: int = earlier) -> None:
            on_progress(earlier + count, made.size_bytes)

        _bring(store, made, listing, file, hub, report, on_note, cancelled)
        done += file.size_bytes
    _write_ref(made)
    _register(store, made, cancelled)
    return store.find(str(reference))


def _choose(store: Store, reference: Reference, listing: Listing) -> quants.Choice:
    sizes: dict[str, int | None] = {path: f.size_bytes for path, f in listing.files.items()}
    quant, file = reference.quant, reference.file
    if quant is None and file is None:
        earlier = store.load_registry().find(reference)
        if earlier and all(f.path in sizes for f in earlier.files):
            file = earlier.files[0].path
    try:
        return quants.choose_file(sizes, file) if file else quants.choose(sizes, quant)
    except quants.ChoiceError as exc:
        raise quants.ChoiceError(f"{reference.repo}: {exc}", reason=exc.reason) from exc


def _count_here(folder: Path, commit: str, file: RemoteFile | PlannedFile) -> int:
    blob = folder / "blobs" / file.digest
    for path in (folder / "snapshots" / commit / file.path, blob):
        if _size(path) == file.size_bytes:
            return file.size_bytes
    part = _size(_part(blob))
    return part if part is not None and part <= file.size_bytes else 0


def _bring(
    store: Store,
    made: Plan,
    listing: Listing,
    file: PlannedFile,
    hub: Hub,
    on_progress: OnProgress,
    on_note: OnNote,
    cancelled: Callable[[], bool],
) -> None:
    from llmtool.models.hub.blob_lock import lock_blob

    blob = made.folder / "blobs" / file.digest
    pointer = made.folder / "snapshots" / made.commit / file.path
    if _size(pointer) == file.size_bytes:
        on_progress(file.size_bytes, file.size_bytes)
        return
    locked = lock_blob(
        store.folders.hub_cache, made.repo, file.digest, on_note=on_note, cancelled=cancelled
    )
    with locked, _disk_errors(made.folder):
        blob.parent.mkdir(parents=True, exist_ok=True)
        if _size(blob) != file.size_bytes:
            fetch(
                hub.source(listing, listing.files[file.path]),
                _part(blob),
                size=file.size_bytes,
                checksum=file.digest,
                label=file.path,
                patience=hub.patience,
                on_progress=on_progress,
                on_note=on_note,
                cancelled=cancelled,
            )
            os.replace(_part(blob), blob)
            _sync_folder(blob.parent)
        on_progress(file.size_bytes, file.size_bytes)
        _link(blob, pointer)


def _link(blob: Path, pointer: Path) -> None:
    """Make the snapshot's file point to its blob, in place of a dangling or wrong one."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    temporary = pointer.with_name(f".{pointer.name}.{os.getpid()}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        os.replace(blob, pointer)  # no links on this disk: the snapshot holds the file itself
        return
    os.replace(temporary, pointer)


def _write_ref(made: Plan) -> None:
    revision = made.revision or "main"
    if revision == made.commit:
        return
    path = made.folder / "refs" / revision
    with _disk_errors(made.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(made.commit, encoding="ascii")
        os.replace(temporary, path)


def _register(store: Store, made: Plan, cancelled: Callable[[], bool]) -> None:
    record = registry.Record(
        source="hub",
        name=made.repo,
        quant=made.quant,
        revision=made.revision,
        commit=made.commit,
        files=tuple(
            registry.FileRecord(path=file.path, size_bytes=file.size_bytes, digest=file.digest)
            for file in made.files
        ),
    )
    with files.lock(store.registry_file, cancelled=cancelled):
        known = registry.load(store.registry_file)
        if known.models[-1:] != (record,):
            registry.save(store.registry_file, known.with_record(record))


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
        raise DownloadError(f"{folder}: cannot be written: {exc.strerror}") from exc
