"""Files that are never half written and never written by two at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from llmtool.errors import LockedError, OutputError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a private file (0600) by a temporary one beside it, fsync and rename.

    A link is followed, so that the file that it points to is replaced and not the link.

    Raises:
        OutputError: it cannot be written; the old file is as it was.
    """
    import tempfile

    try:
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
def lock(path: Path, *, timeout_seconds: float = 30) -> Iterator[None]:
    """Hold the lock of a file, so that two writers do not undo each other.

    Raises:
        LockedError: another process holds it for longer than `timeout_seconds`.
        OutputError: its folder cannot be written.
    """
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with filelock.FileLock(f"{path}.lock", timeout=timeout_seconds, mode=0o600):
            yield
    except filelock.Timeout as exc:
        raise LockedError(f"{path}: another process holds the lock; try again") from exc
    except OSError as exc:
        raise OutputError(f"{path}: cannot be locked: {exc.strerror}") from exc
