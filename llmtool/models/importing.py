"""Take files into the store, so that they have a name and a hash."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool import files
from llmtool.errors import OutputError, UsageError
from llmtool.models import gguf, registry
from llmtool.models.found import Model
from llmtool.models.hashing import hash_file
from llmtool.models.progress import OnProgress, never, no_progress
from llmtool.models.pull import SPARE_BYTES, find_free_bytes
from llmtool.models.quants import find_label
from llmtool.models.reference import check_name
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.models.store import Store


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
    with files.write_errors("the store"):
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
                    f"{source} has {format_bytes(size)}, but {target.parent} has "
                    f"{format_bytes(free)} free; make room"
                ) from None
            with source.open("rb") as reader, temporary.open("xb") as writer:
                shutil.copyfileobj(reader, writer, 1024 * 1024)
                writer.flush()
                os.fsync(writer.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
