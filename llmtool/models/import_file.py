"""Import model files into the data folder, so that they have a name and a hash."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from llmtool import files
from llmtool.errors import OutputError, UsageError
from llmtool.models import registry
from llmtool.models.gguf import check as gguf
from llmtool.models.hashing import hash_file
from llmtool.models.hub.callbacks import OnProgress, add_offset, never, no_progress
from llmtool.models.installed import Model, describe_imported
from llmtool.models.layout import (
    IMPORT_PREFIX,
    SPARE_BYTES,
    Layout,
    find_free_bytes,
    lock_import,
)
from llmtool.models.quants import find_label, list_parts
from llmtool.models.reference import check_name
from llmtool.sizes import format_bytes

_SHA256: Final = "0" * 64  # selects the kind of digest


def import_file(
    layout: Layout,
    path: Path,
    *,
    name: str | None = None,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = never,
) -> Model:
    """Hard-link or copy a file, or all parts of a split model, into the data folder.

    Args:
        name: the name of the model; by default the file's name in lower case, without `.gguf`.
        on_progress: receives (done, total) bytes of all parts.

    Raises:
        ModelNotFound, ModelUnreadable: as `gguf.check` raises them.
        UsageError: the name is not valid, or taken.
        OutputError: the data folder cannot be written, or its disk is too small.
        Cancelled: `cancelled` returned true; no file is left.
    """
    header = gguf.check(path)
    parts = list_parts(path)
    name = check_name(name or _suggest_name(path))
    _check_not_taken(registry.load(layout.registry_file), name)
    total, done = sum(part.stat().st_size for part in parts), 0
    on_progress(0, total)
    with files.write_errors("the store"):
        files.make_folder(layout.imported_folder)
        with _make_temporary(layout, cancelled) as temporary:
            imported = []
            for index, part in enumerate(parts, 1):
                suffix = f"-{index:05}-of-{len(parts):05}" if len(parts) > 1 else ""
                target = temporary / f"{name}{suffix}.gguf"
                of_part = add_offset(on_progress, done, total)
                digest = _link_or_copy(part, target, on_progress=of_part, cancelled=cancelled)
                size = target.stat().st_size
                imported.append(
                    registry.FileRecord(path=target.name, size_bytes=size, digest=digest)
                )
                done += size
            record = registry.Record(
                source="imported",
                name=name,
                files=tuple(imported),
                quant=find_label(path.name) or header.quant,
            )
            _register(layout, record, temporary, cancelled)
    return describe_imported(layout, record)


@contextlib.contextmanager
def _make_temporary(layout: Layout, cancelled: Callable[[], bool]) -> Iterator[Path]:
    """Make a folder for the files of an import, locked and removed at the end."""
    with contextlib.ExitStack() as stack:
        # Under the registry's lock, so that `prune` does not see the folder before it is locked.
        with files.lock(layout.registry_file, cancelled=cancelled):
            made = tempfile.TemporaryDirectory(
                prefix=IMPORT_PREFIX,
                dir=layout.imported_folder,
                ignore_cleanup_errors=True,  # `prune` may remove it at the same time
            )
            folder = Path(stack.enter_context(made))
            stack.enter_context(lock_import(folder))
        yield folder


def _suggest_name(path: Path) -> str:
    stem = re.sub(r"\.gguf$", "", path.name.lower())
    return re.sub(r"[^a-z0-9._+-]+", "-", re.sub(r"-\d{5}-of-\d{5}$", "", stem)).strip("-.")


def _check_not_taken(known: registry.Registry, name: str) -> None:
    if known.imported(name):
        raise UsageError(f"{name} is taken; choose another --name, or `llmtool models rm {name}`")


def _link_or_copy(
    source: Path, target: Path, *, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> str:
    """Hard-link a file, or copy it to another file system, and return its SHA-256."""
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
    layout: Layout, record: registry.Record, temporary: Path, cancelled: Callable[[], bool]
) -> None:
    """Move the files to the imported models and record them: both or neither."""
    with files.lock(layout.registry_file, cancelled=cancelled):
        known = registry.load(layout.registry_file)
        _check_not_taken(known, record.name)
        moved: list[Path] = []
        try:
            for file in record.files:
                target = layout.imported_folder / file.path
                os.replace(temporary / file.path, target)
                moved.append(target)
            registry.save(layout.registry_file, known.with_record(record))
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
            raise
