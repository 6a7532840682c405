"""Files that are never half written and never written by two at once."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from llmtool.errors import Cancelled, LockedError, OutputError

_POLL_SECONDS = 0.1

FileIdentity = tuple[str, int, int, int]
"""Real path, size in bytes, time of change in nanoseconds, inode."""


def identify(path: Path) -> FileIdentity:
    """Return what tells this version of a file from others.

    Raises:
        OSError: the file does not exist.
    """
    real = os.path.realpath(path)
    state = os.stat(real)
    # A file name may hold any bytes; Latin-1 maps each of them to a character.
    name = os.fsencode(real).decode("latin-1")
    return name, state.st_size, state.st_mtime_ns, state.st_ino


def write_atomically(path: Path, data: bytes) -> None:
    """Write a private file (0600) by a temporary one beside it, fsync and rename.

    A link is followed, so that the file that it points to is replaced and not the link.

    Raises:
        OutputError: it cannot be written; the old file is as it was.
    """
    import tempfile

    try:
        path = Path(os.path.realpath(path))
        make_folder(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written: {exc.strerror}") from exc


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, for their owner alone; what is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            path.chmod(0o700)  # a umask may open or close too much
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "it is no folder", str(folder))


@contextlib.contextmanager
def write_errors(what: str) -> Iterator[None]:
    """Turn the system's errors into ours, which name the file, or `what` where they do not.

    Raises:
        OutputError: a file or folder cannot be written.
    """
    try:
        yield
    except OSError as exc:
        raise OutputError(f"{exc.filename or what}: {exc.strerror}") from exc


@contextlib.contextmanager
def lock(
    path: Path,
    *,
    timeout_seconds: float = 30,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Hold the lock of a file, so that two writers do not undo each other.

    Raises:
        LockedError: another process holds it for longer than `timeout_seconds`.
        Cancelled: `cancelled` became true while it was waited for.
        OutputError: its folder cannot be written.
    """
    import filelock

    limit = time.monotonic() + timeout_seconds
    guard = filelock.FileLock(f"{path}.lock", mode=0o600)
    try:  # not around what is done under the lock, which fails in its own words
        make_folder(path.parent)
        while True:
            left = max(0.0, limit - time.monotonic())
            try:
                guard.acquire(timeout=min(left, _POLL_SECONDS))
                break
            except filelock.Timeout as exc:
                if cancelled is not None and cancelled():
                    raise Cancelled(f"{path}: stopped while waiting for its lock") from None
                if left <= _POLL_SECONDS:
                    raise LockedError(f"{path}: another process holds the lock; try again") from exc
    except OSError as exc:
        raise OutputError(f"{path}: cannot be locked: {exc.strerror}") from exc
    try:
        yield
    finally:
        guard.release()
