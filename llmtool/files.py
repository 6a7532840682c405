"""Atomic writes, private folders and lock files."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from llmtool.errors import Cancelled, LockedError, OutputError, os_error_reason
from llmtool.temporary import TemporaryFile, lock_descriptor, remove_leftovers

_POLL_SECONDS = 0.1
_CLOCK_ERROR_NS = 60 * 10**9  # between the clocks of machines that share a folder
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800.0, 253_402_300_799.0  # of the years 1 to 9999

FileIdentity = tuple[str, int, int, int, int, int, str]
"""Real path, size in bytes, times in nanoseconds, inode, device, digest of samples."""
_START_BYTES, _SAMPLE_BYTES, _SAMPLES = 1 << 20, 4096, 16


def identify(path: Path) -> FileIdentity:
    """Return an identity that changes when a file is replaced or modified.

    It has the path, size, times, inode, device, and a digest of the first MiB and 16 samples. A
    program can restore a file's modification time, but not its change time (`ctime`).

    Raises:
        OSError: the file cannot be read.
    """
    import hashlib

    real = os.path.realpath(path)
    digest = hashlib.blake2b(digest_size=16)
    descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", real)
        digest.update(file.read(_START_BYTES))
        for i in range(1, _SAMPLES + 1):
            file.seek(max(0, state.st_size - _SAMPLE_BYTES) * i // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))
    # A file name may contain any bytes; Latin-1 maps each of them to a character.
    name = os.fsencode(real).decode("latin-1")
    times = state.st_mtime_ns, state.st_ctime_ns
    return name, state.st_size, *times, state.st_ino, state.st_dev, digest.hexdigest()


def write_atomically(
    path: Path, data: bytes, *, is_durable: bool = True, replace: bool = True
) -> None:
    """Write a private file (mode 0600) through a temporary file, fsync and rename.

    The target of a symbolic link is replaced, not the link. Without fsync, a file that is not
    durable may be empty after a power failure; nor are temporary files of killed processes removed.

    Raises:
        OutputError: the file cannot be written, or it exists, without `replace`; the old file is
            unchanged.
    """
    try:
        path = Path(os.path.realpath(path))
        make_folder(path.parent)
        if is_durable:
            remove_leftovers(path.parent)
        temporary = TemporaryFile(path)
        try:
            with os.fdopen(temporary.descriptor, "wb", closefd=False) as file:
                file.write(data)
            if is_durable:
                os.fsync(temporary.descriptor)
            temporary.rename(replace=replace)
        except BaseException:
            temporary.discard()
            raise
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {os_error_reason(exc)}") from exc


def append(path: Path, data: bytes) -> None:
    """Append to a file of the user, which may be new; its mode and links remain.

    Raises:
        OutputError: the file cannot be written; it is unchanged.
    """
    with write_errors(str(path)), open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if file.write(data) != len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def modified_at(state: os.stat_result) -> float:
    """Return a modification time in seconds, within the years that can be formatted.

    Some file systems have times of other years.
    """
    return min(max(state.st_mtime, _FIRST_SECOND), _LAST_SECOND)


def order_of_use(modified_ns: int, now_ns: int | None = None) -> int:
    """Return a sort key for a modification time: the larger, the more recent.

    A time in the future is older than all others: it was written before the clock was set back.

    Example:
        >>> from llmtool.files import order_of_use
        >>> hour = 3600 * 10**9
        >>> sorted([3 * hour, hour, 9 * hour], key=lambda ns: order_of_use(ns, now_ns=4 * hour))
        [32400000000000, 3600000000000, 10800000000000]
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    return modified_ns if modified_ns <= now_ns + _CLOCK_ERROR_NS else modified_ns - (1 << 64)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents with mode 0700; existing folders are unchanged.

    Raises:
        OSError: the folder cannot be created.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            path.chmod(0o700)  # the umask may have removed permissions
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "not a folder", str(folder))


@contextlib.contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Convert an `OSError` in the block to an `OutputError`.

    The error names the file of the `OSError`, or `name` if it has none.

    Raises:
        OutputError: a file or folder cannot be written.
    """
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write {exc.filename or name}: {os_error_reason(exc)}") from exc


@contextlib.contextmanager
def lock(
    path: Path,
    *,
    timeout_seconds: float = 30,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Hold the lock of a file during the block; the lock file is `path` plus `.lock`.

    Raises:
        LockedError: another process holds the lock for longer than `timeout_seconds`.
        Cancelled: `cancelled` returned true during the wait.
        OutputError: the lock file cannot be written.
    """
    import filelock

    limit = time.monotonic() + timeout_seconds
    guard = filelock.FileLock(f"{path}.lock", mode=0o600)
    try:  # excludes the block, whose errors must not be converted
        make_folder(path.parent)
        while True:
            left = max(0.0, limit - time.monotonic())
            try:
                guard.acquire(timeout=min(left, _POLL_SECONDS))
                break
            except filelock.Timeout as exc:
                if cancelled is not None and cancelled():
                    raise Cancelled(f"stopped while waiting for the lock of {path}") from None
                if left <= _POLL_SECONDS:
                    raise LockedError(f"{path} is locked by another process; try again") from exc
    except OSError as exc:
        raise OutputError(f"cannot lock {path}: {os_error_reason(exc)}") from exc
    try:
        yield
    finally:
        guard.release()


@contextlib.contextmanager
def lock_folder(folder: Path, *, timeout_seconds: float = 30) -> Iterator[None]:
    """Hold the lock of a folder during the block, without a lock file.

    Where folders cannot be locked, as on Windows, the block runs without a lock.

    Raises:
        LockedError: another process holds the lock for longer than `timeout_seconds`.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            limit = time.monotonic() + timeout_seconds
            while lock_descriptor(descriptor) is False:
                if time.monotonic() > limit:
                    raise LockedError(f"{folder} is locked by another process; try again")
                time.sleep(_POLL_SECONDS)
        yield
