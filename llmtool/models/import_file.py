"""Import model files into the data folder, with a name and a checksum."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmtool import files
from llmtool.errors import OutputError, UsageError
from llmtool.models import registry
from llmtool.models.gguf import check as gguf
from llmtool.models.hashing import hash_file
from llmtool.models.hub.callbacks import Callbacks
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
from llmtool.option_names import option
from llmtool.sizes import format_bytes

_SHA256: Final = "0" * 64  # selects the hash algorithm by its length


def import_file(
    layout: Layout, path: Path, callbacks: Callbacks, *, name: str | None = None
) -> Model:
    """Hard-link or copy a file, or all parts of a split model, into the data folder.

    Args:
        name: the model name; by default the file name in lower case, without `.gguf`.

    Raises:
        ModelNotFound, ModelUnreadable: as `gguf.check`.
        UsageError: the name is not valid, or already in use.
        OutputError: the data folder is not writable, or its disk is full.
        Cancelled: `callbacks.cancelled` returned true. No files remain.
    """
    header = gguf.check(path)
    parts = list_parts(path)
    name = check_name(name or _suggest_name(path))
    _check_unused(layout, registry.load(layout.registry_file), name)
    total, done = sum(part.stat().st_size for part in parts), 0
    callbacks.on_progress(0, total)
    with files.write_errors("the models folder"):
        files.make_folder(layout.imported_folder)
        with _make_temporary(layout, callbacks) as temporary:
            imported = []
            for index, part in enumerate(parts, 1):
                suffix = f"-{index:05}-of-{len(parts):05}" if len(parts) > 1 else ""
                target = temporary / f"{name}{suffix}.gguf"
                digest = _link_or_copy(part, target, callbacks.at(done, total))
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
            _register(layout, record, temporary, callbacks)
    return describe_imported(layout, record)


@contextlib.contextmanager
def _make_temporary(layout: Layout, callbacks: Callbacks) -> Iterator[Path]:
    """Create a locked temporary folder for an import, and remove it on exit."""
    with contextlib.ExitStack() as stack:
        # The registry lock keeps `prune` from seeing the folder before it is locked.
        with files.lock(layout.registry_file, cancelled=callbacks.cancelled):
            made = tempfile.TemporaryDirectory(
                prefix=IMPORT_PREFIX,
                dir=layout.imported_folder,
                ignore_cleanup_errors=True,  # `prune` may be removing it
            )
            folder = Path(stack.enter_context(made))
            stack.enter_context(lock_import(folder))
        yield folder


def _suggest_name(path: Path) -> str:
    stem = re.sub(r"\.gguf$", "", path.name.lower())
    return re.sub(r"[^a-z0-9._+-]+", "-", re.sub(r"-\d{5}-of-\d{5}$", "", stem)).strip("-.")


def _check_unused(layout: Layout, known: registry.Registry, name: str) -> None:
    # Without its file, a record is what a killed import or removal left.
    if any(
        record.source == "imported"
        and record.name == name
        and (layout.imported_folder / record.files[0].path).exists()
        for record in known.models
    ):
        raise UsageError(
            f"model name {name!r} is already in use; choose another {option('name')}, or run "
            f"`llmtool models rm {name}`"
        )


def _link_or_copy(source: Path, target: Path, callbacks: Callbacks) -> str:
    """Hard-link a file, or copy it if that fails, and return its SHA-256."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        size, free = source.stat().st_size, find_free_bytes(target.parent)
        if size + SPARE_BYTES > free:
            raise OutputError(
                f"{source} needs {format_bytes(size + SPARE_BYTES)} of disk space, but "
                f"{target.parent.parent} has {format_bytes(free)}; free some space"
            ) from None
        with target.open("xb") as writer:
            digest = hash_file(source, _SHA256, callbacks, copy_to=writer)
            writer.flush()
            os.fsync(writer.fileno())
        return digest
    return hash_file(source, _SHA256, callbacks)


def _register(
    layout: Layout, record: registry.Record, temporary: Path, callbacks: Callbacks
) -> None:
    """Register the files and move them to the imported models.

    The first part is moved last: without it, the model does not exist. `prune` removes what a
    killed process leaves: the record, and the parts that it names.
    """
    with files.lock(layout.registry_file, cancelled=callbacks.cancelled):
        known = registry.load(layout.registry_file)
        _check_unused(layout, known, record.name)
        registry.save(layout.registry_file, known.with_record(record))
        try:
            for file in reversed(record.files):
                os.replace(temporary / file.path, layout.imported_folder / file.path)
        except BaseException:
            for file in record.files:
                (layout.imported_folder / file.path).unlink(missing_ok=True)
            registry.save(layout.registry_file, known)
            raise
