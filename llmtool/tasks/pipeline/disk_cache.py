"""Cache small JSON values on disk, in a private SQLite file, validated when read."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError, OutputError, os_error_reason
from llmtool.forks import call_after_fork

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
_KEY = re.compile(r"[0-9a-f]{16,64}")
_NAME = "values.db"
_LOCK_SECONDS = 3  # to wait for another process that writes, twice
_APPLICATION, _VERSION = 0x6C6C6D76, 1  # a file with other values is replaced
# `used` orders the values by their last use. Clocks may be set back, a number cannot.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, used INTEGER, size INTEGER, checksum INTEGER, value BLOB
);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used, size);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_LATEST = "(SELECT ifnull(max(used), 0) FROM entries)"
_LOAD = f"SELECT value, checksum, used, {_LATEST} FROM entries WHERE key = ?"
_USE = f"UPDATE entries SET used = {_LATEST} + 1 WHERE key = ?"
_SAVE = f"INSERT OR REPLACE INTO entries VALUES (?, {_LATEST} + 1, ?, ?, ?)"
_ROW_BYTES = 200  # of a value's row and its indexes, apart from the value
_MAX_FILLED = 0.97  # of the bytes: what is saved until the next look must not exceed them
_KEPT_SHARE = 0.95
_DROP_OLDEST = """
DELETE FROM entries WHERE rowid IN (
    SELECT rowid FROM (
        SELECT rowid, row_number() OVER recent AS n, sum(size) OVER recent AS total
        FROM entries WINDOW recent AS (ORDER BY used DESC)
    ) WHERE n > ? OR total > ?
)
"""
_MAX_INTEGER = 2**63 - 1  # of SQLite


class DiskCache:
    """Values by key in a folder, at most `limit` in a file of `limit_bytes`, unlimited if None.

    The least recently used are removed first; each process may exceed `limit` by one percent. A
    value that cannot be read, or does not have the expected type, counts as missing, and a damaged
    file is replaced. Several threads and processes can share a folder, also that of a network. A
    saved value survives a killed process; without `is_durable`, not always a power failure.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit: int | None = 500,
        limit_bytes: int | None = None,
        is_durable: bool = False,
    ) -> None:
        self.folder, self._path = folder, folder / _NAME
        self._limit = _MAX_INTEGER if limit is None else limit
        self._limit_bytes = _MAX_INTEGER if limit_bytes is None else limit_bytes
        self._is_durable = is_durable
        # The oldest are looked for when values of one percent of a limit were saved. The first time
        # is random: many short processes must not exceed the limits either.
        self._period, self._period_bytes = max(1, (limit or 0) // 100), (limit_bytes or 0) / 100
        self._saved = int.from_bytes(os.urandom(4), "big") / 2**32  # of that percent
        self._guard = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._of_parent: sqlite3.Connection | None = None
        call_after_fork(self)

    def __del__(self) -> None:
        if getattr(self, "_database", None) is not None:
            self._close()

    def after_fork(self) -> None:
        """Open the file again in a forked child, which must neither use nor close a connection."""
        self._guard = threading.RLock()
        self._of_parent, self._database = self._database, None

    def load(self, key: str, kind: type[T]) -> T | None:
        """Return the value of a key, None if it is missing."""
        _check(key)
        return self._quietly(lambda database: self._load(database, key, kind))

    def values(self, kind: type[T]) -> Iterator[T]:
        """Yield all values of a type, in any order."""
        for key in self._quietly(lambda database: _column(database, "key")) or ():
            found = self._quietly(partial(_read, key=key, kind=kind))
            if found is not None and found[0] is not None:
                yield found[0]

    def save(self, key: str, value: object) -> None:
        """Write a value.

        Raises:
            OutputError: the file cannot be written.
        """
        _check(key)
        data = msgspec.json.encode(value)
        row = (key, len(data), _checksum(key, data), data)
        self._run(lambda database: database.execute(_SAVE, row), create=True)
        has_limit = self._limit != _MAX_INTEGER
        self._saved += 1 / self._period if has_limit else 0
        n_bytes = len(data) + _ROW_BYTES
        self._saved += n_bytes / self._period_bytes if self._period_bytes else 0
        if self._saved >= 1:
            self._saved = 0.0
            self._quietly(self._trim)

    def try_to_save(self, key: str, value: object) -> None:
        """Write a value; ignore write errors, because the value can be computed again."""
        with contextlib.suppress(LlmtoolError):
            self.save(key, value)

    def _trim(self, database: sqlite3.Connection) -> None:
        """Remove the oldest values above the limits."""
        page_size, n_pages, n_free = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        kept, n_used = _MAX_INTEGER, (n_pages - n_free) * page_size
        if n_used > _MAX_FILLED * self._limit_bytes:
            # SQLite needs space around the values, in proportion to them.
            total = database.execute("SELECT total(size) FROM entries").fetchone()[0]
            kept = int(_KEPT_SHARE * total * self._limit_bytes / n_used)
        database.execute(_DROP_OLDEST, (self._limit, kept))
        if n_pages * page_size > self._limit_bytes:
            database.execute("VACUUM")

    def clear(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove all values; return their number and the bytes of their file.

        Raises:
            OutputError: they cannot be removed.
        """
        n_values = len(self._run(lambda database: _column(database, "key")) or [])
        n_bytes = self._path.stat().st_size if n_values else 0
        if n_values and not dry_run:
            try:
                self._run(lambda database: database.execute("DELETE FROM entries"))
                # The removed text does not remain in the file.
                self._run(lambda database: database.execute("VACUUM"))
            except OutputError:
                self._remove()  # a full disk has no room for a journal
        return n_values, n_bytes

    def _remove(self) -> None:
        """Remove the file.

        Raises:
            OutputError: it cannot be removed.
        """
        self._close()
        for path in (Path(f"{self._path}-journal"), self._path):
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise OutputError(f"cannot remove {path}: {os_error_reason(exc)}") from exc

    def _load(self, database: sqlite3.Connection, key: str, kind: type[T]) -> T | None:
        value, age = _read(database, key, kind)
        if value is not None and age >= self._period:
            import sqlite3

            with contextlib.suppress(sqlite3.Error):  # such as a read-only cache
                database.execute(_USE, (key,))
        return value

    def _quietly(self, act: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return the result of an action, None if the file is missing or cannot be used."""
        try:
            return self._run(act)
        except LlmtoolError:
            return None

    def _run(self, act: Callable[[sqlite3.Connection], T], *, create: bool = False) -> T | None:
        """Return the result of an action, None if the file is missing and not to be created.

        Raises:
            OutputError: the file cannot be read or written.
        """
        import sqlite3

        with self._guard:
            try:
                for is_last in (False, True):
                    try:
                        if self._database is None and (create or self._has_content):
                            self._database = self._open()
                        return None if self._database is None else act(self._database)
                    except sqlite3.OperationalError:  # locked, full, read-only, or removed
                        self._close()
                        if is_last:
                            raise
                    except sqlite3.DatabaseError:
                        self._discard()
            except (sqlite3.Error, OSError) as exc:
                reason = os_error_reason(exc) if isinstance(exc, OSError) else exc
                raise OutputError(f"cannot write {self._path}: {reason}") from exc
        raise OutputError(f"cannot write {self._path}: it is damaged")

    @property
    def _has_content(self) -> bool:
        """Whether the file exists; on a full disk it was created, but has no schema."""
        return self._path.exists() and self._path.stat().st_size > 0

    def _open(self) -> sqlite3.Connection:
        """Open the file, and create it with mode 0600 if it is missing.

        Raises:
            sqlite3.DatabaseError: it is damaged, or not that of a cache.
            OSError: it cannot be created.
        """
        import sqlite3

        if not self._path.exists():
            files.make_folder(self.folder)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            if os.name != "nt":
                self._path.chmod(0o600)
        database = sqlite3.connect(
            self._path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # Four times faster than to create and remove the journal of each value.
            database.execute("PRAGMA journal_mode = TRUNCATE")
            if not self._is_durable:
                database.execute("PRAGMA synchronous = OFF")
            if not database.execute("PRAGMA page_count").fetchone()[0]:
                database.executescript(_SCHEMA)
            found = [
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version")
            ]
            if found != [_APPLICATION, _VERSION]:
                raise sqlite3.DatabaseError("not a cache of this version")
        except BaseException:
            database.close()
            raise
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _discard(self) -> None:
        """Remove a damaged file, unless another process has replaced it."""
        import sqlite3

        self._close()
        with files.lock(self._path):
            with (
                contextlib.suppress(sqlite3.DatabaseError),
                contextlib.closing(self._open()) as database,
            ):
                if database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
                    return
            self._remove()


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"invalid key {key!r}")


def _checksum(key: str, data: bytes) -> int:
    return zlib.crc32(key.encode() + data)


def _column(database: sqlite3.Connection, name: str) -> list[Any]:
    return [row[0] for row in database.execute(f"SELECT {name} FROM entries")]


def _read(database: sqlite3.Connection, key: str, kind: type[T]) -> tuple[T | None, int]:
    """Return a value, None if it is missing, and how many were used since its last use."""
    row = database.execute(_LOAD, (key,)).fetchone()
    if row is None or not isinstance(row[0], bytes) or row[1] != _checksum(key, row[0]):
        return None, 0
    try:
        return msgspec.json.decode(row[0], type=kind), row[3] - row[2]
    except msgspec.DecodeError:
        return None, 0
