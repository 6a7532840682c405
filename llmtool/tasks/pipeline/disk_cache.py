"""Cache small JSON values on disk, one private file each, validated when read."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError
from llmtool.temporary import remove_leftovers

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
        # Listing the folder after each of many saves would take quadratic time. The first time is
        # random: many short processes must not exceed the limits either.
        self._period = max(1, (limit or 0) // 100)
        self._until_check = 1 + int.from_bytes(os.urandom(4), "big") % self._period

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
        for path in self._list():
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
        self._until_check -= 1
        if not self._until_check:
            self._until_check = self._period
            remove_leftovers(self.folder)
            with contextlib.suppress(OSError):
                self._drop_oldest()

    def try_to_save(self, key: str, value: object) -> None:
        """Write a value; ignore write errors, because the value can be computed again."""
        with contextlib.suppress(LlmtoolError):
            self.save(key, value)

    def clear(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove all values; return the number of files and their bytes.

        Raises:
            OutputError: a file cannot be removed.
        """
        sizes = remove_leftovers(self.folder, dry_run=dry_run)
        with files.write_errors(str(self.folder)):
            for path in self._list():
                with contextlib.suppress(FileNotFoundError):  # another process removed it
                    n_bytes = path.stat().st_size
                    if not dry_run:
                        path.unlink()
                    sizes.append(n_bytes)
        return len(sizes), sum(sizes)

    def _list(self) -> list[Path]:
        """Return the files of values; others in the folder are not those of the cache."""
        paths = self.folder.glob("*.json")
        return [path for path in paths if _KEY.fullmatch(path.stem) and not path.is_symlink()]

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"invalid key {key!r}")
        return self.folder / f"{key}.json"

    def _drop_oldest(self) -> None:
        limit = math.inf if self._limit is None else self._limit
        limit_bytes = math.inf if self._limit_bytes is None else self._limit_bytes
        found = []
        for path in self._list():
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                found.append((path.stat(), path))
        now, size = time.time_ns(), 0
        found.sort(key=lambda each: -files.order_of_use(each[0].st_mtime_ns, now))
        for n, (state, path) in enumerate(found, 1):
            size += state.st_size
            if n > limit or size > limit_bytes:
                path.unlink(missing_ok=True)
