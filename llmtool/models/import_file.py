"""Take files into the store, so that they have a name and a hash."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmtool import files
from llmtool.errors import OutputError, UsageError
from llmtool.models import registry
from llmtool.models.download import SPARE_BYTES, find_free_bytes
from llmtool.models.gguf import check
from llmtool.models.hashing import hash_file
from llmtool.models.hub.callbacks import OnProgress, never, no_progress
from llmtool.models.installed import Model
from llmtool.models.quants import find_label
from llmtool.models.reference import check_name
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.models.store import Store

_TEMPORARY_PREFIX: Final = ".import-"
_SHA256: Final = "0" * 64  # the kind of digest that is asked for


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
        OutputError: the store cannot be written, or its disk is too small.
        Cancelled: `cancelled` became true; nothing stays.
    """
    header = check.check(path)
    parts = check.list_parts(path)
    name = check_name(name or _suggest_name(path))
    _check_free(store.load_registry(), name)
    total, done = sum(part.stat().st_size for part in parts), 0
    on_progress(0, total)
    folder = store.imported_folder
    with files.write_errors("the store"):
        files.make_folder(folder)
        with _make_temporary(store, cancelled) as temporary:
            taken = []
            for index, part in enumerate(parts, 1):
                suffix = f"-{index:05}-of-{len(parts):05}" if len(parts) > 1 else ""
                target = temporary / f"{name}{suffix}.gguf"

                def report(count: int, size: int, earlier: int = done) -> None:
                    on_progress(earlier + count, total)

                digest = _take(part, target, on_progress=report, cancelled=cancelled)
                size = target.stat().st_size
                taken.append(registry.FileRecord(path=target.name, size_bytes=size, digest=digest))
                done += size
            record = registry.Record(
                source="imported",
                name=name,
                files=tuple(taken),
                quant=find_label(path.name) or header.quant,
            )
            _register(store, record, temporary, cancelled)
    return store.find(name)


@contextlib.contextmanager
def _make_temporary(store: Store, cancelled: Callable[[], bool]) -> Iterator[Path]:
    """Make a folder for the files of an import, and hold it."""
    with contextlib.ExitStack() as stack:
        # Under the lock, so that nobody sees it before it is held.
        with files.lock(store.registry_file, cancelled=cancelled):
            made = tempfile.TemporaryDirectory(
                prefix=_TEMPORARY_PREFIX,
                dir=store.imported_folder,
                ignore_cleanup_errors=True,  # `upkeep.prune` may be removing it as well by then
            )
            folder = Path(stack.enter_context(made))
            stack.enter_context(hold(folder))
        yield folder


def list_temporary(store: Store) -> list[Path]:
    """Return the folders of imports that run or were killed; see `hold`."""
    folders = sorted(store.imported_folder.glob(f"{_TEMPORARY_PREFIX}*"))
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]


def hold(folder: Path) -> AbstractContextManager[None]:
    """Hold an import's folder for as long as the context and the process last.

    Call it under the lock of the registry.

    Raises:
        LockedError: on entry, when the import is running.
    """
    return files.lock(folder / "import", timeout_seconds=0)


def _suggest_name(path: Path) -> str:
    stem = re.sub(r"\.gguf$", "", path.name.lower())
    return re.sub(r"[^a-z0-9._+-]+", "-", re.sub(r"-\d{5}-of-\d{5}$", "", stem)).strip("-.")


def _check_free(known: registry.Registry, name: str) -> None:
    if known.imported(name):
        raise UsageError(f"{name} is taken; choose another --name, or `llmtool models rm {name}`")


def _take(
    source: Path, target: Path, *, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> str:
    """Link a file, or copy it where no link can be; return its digest."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        size, free = source.stat().st_size, find_free_bytes(target.parent)
        if size + SPARE_BYTES > free:
            raise OutputError(
                f"{source} has {format_bytes(size)}, but {target.parent.parent} has "
                f"{format_bytes(free)} free; make room"
            ) from None
        with target.open("xb") as writer:
            digest = hash_file(
                source, _SHA256, on_progress=on_progress, cancelled=cancelled, copy_to=writer
            )
            writer.flush()
            os.fsync(writer.fileno())
        return digest
    return hash_file(source, _SHA256, on_progress=on_progress, cancelled=cancelled)


def _register(
    store: Store, record: registry.Record, temporary: Path, cancelled: Callable[[], bool]
) -> None:
    """Give the files their names and record them, both or neither."""
    with files.lock(store.registry_file, cancelled=cancelled):
        known = registry.load(store.registry_file)
        _check_free(known, record.name)
        moved: list[Path] = []
        try:
            for file in record.files:
                target = store.imported_folder / file.path
                os.replace(temporary / file.path, target)
                moved.append(target)
            registry.save(store.registry_file, known.with_record(record))
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
            raise
