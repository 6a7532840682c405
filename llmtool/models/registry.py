"""The registry (models.json): downloaded and imported models with checksums, and the aliases.

It records which quant was chosen, for later downloads of the repository, and the checksums of
imported files, so that `verify` needs no network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from llmtool import files
from llmtool.errors import UsageError, os_error_reason
from llmtool.models.quants import doubt
from llmtool.models.reference import Reference


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str  # relative to the repository, or to the folder of imported models
    size_bytes: int
    digest: str | None = None  # SHA-256, or the SHA-1 of a Git blob


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model and its files, the parts of a split model in order."""

    source: Literal["hub", "imported"]
    name: str  # org/name, or the name of an imported model
    files: tuple[FileRecord, ...]
    quant: str | None = None
    revision: str | None = None
    commit: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Registry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of models.json; the newest record is last."""

    version: Literal[1] = 1
    models: tuple[Record, ...] = ()
    aliases: dict[str, str] = {}

    def find(self, reference: Reference) -> Record | None:
        """Return the newest record that matches a Hub reference; by quant, a model if possible."""
        found = [
            record
            for record in reversed(self.models)
            if record.source == "hub"
            and record.name == reference.repo
            and reference.revision in (record.revision, record.commit)
            and reference.quant in (None, record.quant)
            and reference.file in (None, *(file.path for file in record.files))
        ]
        if reference.quant is not None:
            found.sort(key=lambda record: doubt(record.files[0].path))
        return found[0] if found else None

    def with_record(self, record: Record) -> Registry:
        """Return a copy with this record last, replacing the previous record of the model."""
        others = tuple(r for r in self.models if not _same(r, record))
        return msgspec.structs.replace(self, models=(*others, record))


def _same(one: Record, other: Record) -> bool:
    if one.source != other.source or one.name != other.name:
        return False
    return one.source == "imported" or (
        one.revision == other.revision
        and [file.path for file in one.files] == [file.path for file in other.files]
    )


def load(path: Path) -> Registry:
    """Read models.json; return an empty registry if it does not exist.

    Raises:
        UsageError: the file is damaged or unreadable. Removing it deletes no model files.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Registry)
    except (FileNotFoundError, NotADirectoryError):
        return Registry()
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} is damaged: {exc}; remove it (no model file is deleted)") from exc


def save(path: Path, registry: Registry) -> None:
    """Write models.json atomically. The caller must hold `files.lock(path)`."""
    files.write_atomically(path, msgspec.json.format(msgspec.json.encode(registry), indent=1))


def update(
    path: Path,
    change: Callable[[Registry], Registry],
    *,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Replace the registry with `change(registry)`, under its lock.

    Raises:
        As `load` and `files.lock`.
    """
    with files.lock(path, cancelled=cancelled):
        known = load(path)
        changed = change(known)
        if changed != known:
            save(path, changed)
