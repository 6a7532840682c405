"""States of prompt prefixes on disk, so that a prefix is computed once for all runs.

A file holds one state under its key. It is written without fsync, because losing it costs only
time; `load` detects what a power cut left behind.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from llmtool import files
from llmtool.engine.llama.prompt_cache import format

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SUFFIX: Final = ".prefix"
_TEMPORARY_SUFFIX: Final = ".part"
_LEFTOVER_SECONDS: Final = 3600
_CREATE_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A stored state; `note` describes it, and `used_at` is in seconds since 1970."""

    key: str
    path: Path
    size_bytes: int
    used_at: float
    note: dict[str, str | int] = {}


class PrefixCache:
    """A folder of states; the least recently used are removed to stay within the limit.

    Any number of processes may use one folder: files appear by rename and never change.

    Example:
        >>> cache = PrefixCache(folder, limit_bytes=512_000_000)  # doctest: +SKIP
        >>> cache.store(key, state, note={"model": "starter", "n_tokens": 70})  # doctest: +SKIP
        True
        >>> cache.load(key) == state  # doctest: +SKIP
        True
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        """Use `folder`, which need not exist; a limit of 0 disables the cache."""
        self.folder = folder
        self.limit_bytes = limit_bytes

    def load(self, key: str | bytes) -> bytearray | None:
        """Return the state stored under a key of `make_key`, or None; remove a damaged file.

        The buffer is new and writable: `(c_uint8 * len(b)).from_buffer(b)` copies nothing.
        """
        name = _hex(key)
        if self.limit_bytes <= 0:
            return None
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            with format.open_own(path) as (descriptor, state):
                if state is None:
                    return None
                if state.st_size > self.limit_bytes:
                    raise format.Damaged("larger than the limit")
                payload = format.read_payload(descriptor, state.st_size, bytes.fromhex(name))
                _mark_used(descriptor, path)
                return payload
        except format.Damaged as exc:
            _log(f"{path}: removed: {exc}")
            with contextlib.suppress(OSError):
                path.unlink()
        except FileNotFoundError:
            pass
        except (OSError, MemoryError) as exc:
            _log(f"{path}: cannot be read: {exc}")
        return None

    def store(self, key: str | bytes, payload: Buffer, *, note: Mapping[str, str | int]) -> bool:
        """Store a state; return whether it was written.

        Args:
            payload: contiguous bytes of any buffer type.
            note: `model` and `n_tokens`, for `llmtool cache ls`.
        """
        name = _hex(key)
        content = memoryview(payload)
        if content.itemsize != 1 or content.ndim != 1:
            content = content.cast("B")
        encoded_note = format.encode_note(note)
        size = format.HEADER_BYTES + len(encoded_note) + len(content)
        if size > self.limit_bytes:
            _log(f"{size} bytes are not cached: the limit is {self.limit_bytes}")
            return False
        header = format.make_header(bytes.fromhex(name), encoded_note, content)
        try:
            _make_private(self.folder)
            self._write(name, (header, encoded_note, content))
            self._drop_leftovers()
            self._evict()
        except OSError as exc:
            _log(f"{self.folder}: not cached: {exc}")
            return False
        return True

    def _write(self, name: str, pieces: Sequence[bytes | memoryview]) -> None:
        temporary = self.folder / f".{name}.{os.urandom(8).hex()}{_TEMPORARY_SUFFIX}"
        descriptor = os.open(temporary, _CREATE_FLAGS, 0o600)
        try:
            try:
                if hasattr(os, "fchmod"):  # a umask may have removed our own rights
                    with contextlib.suppress(OSError):  # a file system without modes
                        os.fchmod(descriptor, 0o600)
                for piece in pieces:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[os.write(descriptor, rest) :]
                _mark_used(descriptor, temporary)  # to the nanosecond, where the file system rounds
            finally:
                os.close(descriptor)
            os.replace(temporary, self.folder / f"{name}{_SUFFIX}")
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _drop_leftovers(self) -> None:
        """Remove temporary files of killed writers, which are older than an hour."""
        for path, state in self._list_temporary():
            if time.time() - state.st_mtime > _LEFTOVER_SECONDS:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _evict(self) -> None:
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        for entry in reversed(entries):
            if total <= self.limit_bytes:
                return
            with contextlib.suppress(OSError):
                entry.path.unlink()
                total -= entry.size_bytes

    def entries(self) -> list[Entry]:
        """Return the stored states, the last used first; foreign files are ignored."""
        found = []
        for item in _scan(self.folder):
            name = item.name.removesuffix(_SUFFIX)
            if name == item.name or not _is_key(name):
                continue
            path = self.folder / item.name
            with contextlib.suppress(OSError), format.open_own(path) as (descriptor, state):
                head = os.read(descriptor, format.HEAD_BYTES) if state else b""
                if state is None or not format.is_ours(head):
                    continue
                found.append(
                    Entry(
                        key=name,
                        path=path,
                        size_bytes=state.st_size,
                        used_at=state.st_mtime_ns / 1e9,
                        note=format.decode_note(head),
                    )
                )
        return sorted(found, key=lambda entry: (-entry.used_at, entry.key))

    def clear(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove all states and temporary files; return the number of files and bytes.

        Raises:
            OutputError: a file cannot be removed.
        """
        sizes = [(entry.path, entry.size_bytes) for entry in self.entries()]
        sizes += [(path, state.st_size) for path, state in self._list_temporary()]
        removed = []
        with files.write_errors(str(self.folder)):
            for path, size in sizes:
                with contextlib.suppress(FileNotFoundError):  # another process removed it
                    if not dry_run:
                        path.unlink()
                    removed.append(size)
        return len(removed), sum(removed)

    def _list_temporary(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for item in _scan(self.folder):
            parts = item.name.split(".")
            if len(parts) != 4 or parts[0] or f".{parts[3]}" != _TEMPORARY_SUFFIX:
                continue
            path = self.folder / item.name
            if not _is_key(parts[1]):
                continue
            with contextlib.suppress(OSError), format.open_own(path) as (descriptor, state):
                if state is not None and format.is_ours(os.read(descriptor, format.HEADER_BYTES)):
                    found.append((path, state))
        return found


def make_key(
    *,
    model: Sequence[files.FileIdentity],
    build: str,
    params: Mapping[str, str | int | float | bool | None],
    tokens: Sequence[int],
) -> str:
    """Return the key of a prefix: SHA-256, in hex, over everything its state depends on, as JSON.

    Args:
        model: the identity of each file of the model.
        build: the version of llama.cpp.
        params: the parameters of the context that the state depends on, in any order.

    Example:
        >>> make_key(model=[("/m", 9, 8, 7)], build="b1", params={"n": 1}, tokens=[1, 2])[:8]
        '55b04c6c'
    """
    import hashlib

    parts = [list(model), build, sorted(params.items()), list(tokens)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _hex(key: str | bytes) -> str:
    name = key if isinstance(key, str) else key.hex()
    if not _is_key(name):
        raise ValueError(f"{key!r} is not a key of make_key")
    return name


def _is_key(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except OSError:
        return []


def _mark_used(descriptor: int, path: Path) -> None:
    """Set the modification time to now: many file systems do not record access times."""
    now = time.time_ns()
    target = descriptor if os.utime in os.supports_fd else path
    with contextlib.suppress(OSError):  # a read-only folder
        os.utime(target, ns=(now, now))


def _make_private(folder: Path) -> None:
    """Create a private folder and its parents, whatever the umask."""
    files.make_folder(folder)
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & 0o777 != 0o700:
        with contextlib.suppress(
            OSError
        ):  # it belongs to another user, or the file system has no modes
            folder.chmod(0o700)


def _log(text: str) -> None:
    logging = sys.modules.get("logging")  # if not imported, nobody listens; importing takes 7 ms
    if logging is not None:
        logging.getLogger("llmtool").debug("prefix cache: %s", text)
