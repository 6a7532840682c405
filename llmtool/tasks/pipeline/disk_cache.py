"""Cache small JSON values on disk, one private file each, validated when read."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError

T = TypeVar("T")
_KEY = re.compile(r"[0-9a-f]{16,64}")


class DiskCache:
    """A folder with at most `limit` values, by key; the oldest are removed first.

    A file that cannot be read, or does not have the expected type, counts as missing.
    """

    def __init__(self, folder: Path, *, limit: int = 500) -> None:
        self.folder, self._limit = folder, limit

    def load(self, key: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(self._path(key).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, key: str, value: object) -> None:
        """Write a value.

        Raises:
            OutputError: the file cannot be written.
        """
        path = self._path(key)
        files.write_atomically(path, msgspec.json.encode(value))
        with contextlib.suppress(OSError):
            self._drop_oldest()

    def try_to_save(self, key: str, value: object) -> None:
        """Write a value; ignore write errors, because the value can be computed again."""
        with contextlib.suppress(LlmtoolError):
            self.save(key, value)

    def clear(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove all values; return the number of files and their bytes."""
        n_files = size = 0
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError):
                n_bytes = path.stat().st_size
                if not dry_run:
                    path.unlink()
                n_files, size = n_files + 1, size + n_bytes
        return n_files, size

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"invalid key {key!r}")
        return self.folder / f"{key}.json"

    def _drop_oldest(self) -> None:
        paths = [path for path in self.folder.iterdir() if path.suffix == ".json"]
        if len(paths) <= self._limit:
            return
        paths.sort(key=lambda path: path.stat().st_mtime)
        for path in paths[: len(paths) - self._limit]:
            path.unlink(missing_ok=True)
