"""Cache small JSON values on disk, one private file each, validated when read."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError

T = TypeVar("T")
_KEY = re.compile(r"[0-9a-f]{16,64}")


class DiskCache:
    """A folder of values by key, at most `limit` of `limit_bytes`, both unlimited if None.

    The least recently used are removed first; a process may exceed the limits by one percent. A
    file that cannot be read, or does not have the expected type, counts as missing.
    """

    def __init__(
        self, folder: Path, *, limit: int | None = 500, limit_bytes: int | None = None
    ) -> None:
        self.folder, self._limit, self._limit_bytes = folder, limit, limit_bytes
        self._n_saved = 0

    def load(self, key: str, kind: type[T]) -> T | None:
        path = self._path(key)
        try:
            value = msgspec.json.decode(path.read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None
        with contextlib.suppress(OSError):  # a read-only cache
            os.utime(path)
        return value

    def values(self, kind: type[T]) -> Iterator[T]:
        """Yield all values of a type, in any order."""
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                yield msgspec.json.decode(path.read_bytes(), type=kind)

    def save(self, key: str, value: object) -> None:
        """Write a value.

        Raises:
            OutputError: the file cannot be written.
        """
        path = self._path(key)
        # fsync takes longer than a short reply; an empty file counts as missing.
        files.write_atomically(path, msgspec.json.encode(value), is_durable=False)
        self._n_saved += 1
        # Listing the folder after each of many saves would take quadratic time.
        if self._n_saved % max(1, (self._limit or 0) // 100) == 0:
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
        limit = math.inf if self._limit is None else self._limit
        limit_bytes = math.inf if self._limit_bytes is None else self._limit_bytes
        found = [(path.stat(), path) for path in self.folder.iterdir() if path.suffix == ".json"]
        size = 0
        for n, (state, path) in enumerate(sorted(found, key=lambda each: -each[0].st_mtime_ns), 1):
            size += state.st_size
            if n > limit or size > limit_bytes:
                path.unlink(missing_ok=True)
