"""Where models are stored: folders, free space, temporary folders of imports."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from llmtool import files

SPARE_BYTES: Final = 64 * 1024 * 1024  # free space to leave on the disk
PART_SUFFIX: Final = ".llmtool.incomplete"  # of a partial download
IMPORT_PREFIX: Final = ".import-"  # of the temporary folder of an import


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The folders that contain models: the user's data folder and the Hub cache."""

    data: Path
    hub_cache: Path

    @property
    def registry_file(self) -> Path:
        return self.data / "models.json"

    @property
    def imported_folder(self) -> Path:
        return self.data / "models"


def find_free_bytes(folder: Path) -> int:
    """Return the free space on the disk of `folder`, which need not exist."""
    import shutil

    for existing in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0


def list_import_folders(layout: Layout) -> list[Path]:
    """Return the temporary folders of running and killed imports."""
    folders = sorted(layout.imported_folder.glob(f"{IMPORT_PREFIX}*"))
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]


def lock_import(folder: Path) -> AbstractContextManager[None]:
    """Lock the temporary folder of an import. The caller must hold the registry lock.

    Raises:
        LockedError: the import is running.
    """
    return files.lock(folder / "import", timeout_seconds=0)
