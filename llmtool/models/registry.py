"""models.json: the downloaded and imported models, with sizes and hashes, and the aliases.

A later download of a repository reads the chosen quant here, and `verify` needs no network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from llmtool import files
from llmtool.errors import UsageError
from llmtool.models.reference import Reference


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str  # inside the repository, or below the folder of imported models
    size_bytes: int
    digest: str | None = None  # names its blob: a SHA-256, or a Git blob's SHA-1


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: all its files, first part first."""

    source: Literal["hub", "imported"]
    name: str  # org/name of a repository, or the name of an imported model
    files: tuple[FileRecord, ...]
    quant: str | None = None
    revision: str | None = None
    commit: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Registry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; the newest record is the last."""

    version: Literal[1] = 1
    models: tuple[Record, ...] = ()
    aliases: dict[str, str] = {}

    def find(self, reference: Reference) -> Record | None:
        """Return the newest record that matches a reference of the Hub."""
        for record in reversed(self.models):
            if (
                record.source == "hub"
                and record.name == reference.repo
                and reference.revision in (record.revision, record.commit)
                and reference.quant in (None, record.quant)
                and reference.file in (None, *(file.path for file in record.files))
            ):
                return record
        return None

    def imported(self, name: str) -> Record | None:
        found = (r for r in self.models if r.source == "imported" and r.name == name)
        return next(found, None)

    def with_record(self, record: Record) -> Registry:
        """Return a registry with this record last, replacing the one of the same model."""
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
    """Read models.json; a missing file is an empty registry.

    Raises:
        UsageError: the file is damaged or unreadable; it can be removed, no model is lost.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Registry)
    except (FileNotFoundError, NotADirectoryError):
        return Registry()
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: {exc}; remove the file, no model is lost") from exc


def save(path: Path, registry: Registry) -> None:
    """Write models.json atomically. Call it under `files.lock`, or call `update`."""
    files.write_atomically(path, msgspec.json.format(msgspec.json.encode(registry), indent=1))


def update(
    path: Path,
    change: Callable[[Registry], Registry],
    *,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Replace the registry by `change(registry)` under its lock; write it only if it differs.

    Raises:
        As `load` and `files.lock` do.
    """
    with files.lock(path, cancelled=cancelled):
        known = load(path)
        changed = change(known)
        if changed != known:
            save(path, changed)
