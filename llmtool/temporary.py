"""Temporary files that are renamed when complete, and what killed processes leave of them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

SUFFIX = ".llmtool.tmp"
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL
_CREATE_FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OPEN_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_LEFTOVER_SECONDS = 3600  # where files cannot be locked


class TemporaryFile:
    """An open file in the folder of `path`, which `rename` gives that name.

    It is locked while it is open, so that `remove_leftovers` in another process can tell it from
    the file of a killed one.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self._path = path
        while True:
            # A name may have 255 bytes, and a character has at most 4.
            name = f".{path.name[:50]}.{os.urandom(4).hex()}{SUFFIX}"
            self.name = os.path.join(path.parent, name)
            try:
                self.descriptor = os.open(self.name, _CREATE_FLAGS, 0o600)
            except FileExistsError:
                continue
            if lock_descriptor(self.descriptor) is not False and os.path.lexists(self.name):
                break
            os.close(self.descriptor)  # `remove_leftovers` was faster than the lock
        self._is_open = True
        if hasattr(os, "fchmod"):  # the umask may deny access to the owner
            with contextlib.suppress(OSError):  # a file system without modes
                os.fchmod(self.descriptor, mode)

    def rename(self, path: Path | None = None, *, replace: bool = True, close: bool = True) -> None:
        """Give the file its name, or another one, and close it.

        Raises:
            FileExistsError: a file has that name, without `replace`; this file remains.
            OSError: it cannot be renamed; it remains.
        """
        path = path or self._path
        if os.name == "nt":  # an open file cannot be renamed
            self.close()
        if replace:
            os.replace(self.name, path)
        else:
            _rename_to_new(self.name, path)
        if close:
            self.close()

    def discard(self) -> None:
        """Remove the file, if it was not renamed, and close it; errors are ignored."""
        if os.name == "nt":  # an open file cannot be removed
            self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.name)
        self.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError):  # its content was synced before
                os.close(self.descriptor)


def _rename_to_new(name: str, path: Path) -> None:
    if os.name == "nt":
        os.rename(name, path)  # never replaces a file
        return
    try:
        os.link(name, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(name, path)
    else:
        os.unlink(name)


def remove_leftovers(folder: Path, *, dry_run: bool = False) -> list[int]:
    """Remove the temporary files of killed processes; return their sizes in bytes.

    Those of running processes and of other users remain.
    """
    removed = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    removed += _remove_leftover(entry.path, dry_run)
    return removed


def _remove_leftover(path: str, dry_run: bool) -> list[int]:
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        state = os.fstat(descriptor)
        if hasattr(os, "geteuid") and state.st_uid != os.geteuid():
            return []
        is_left = lock_descriptor(descriptor)
        if is_left is None:
            is_left = abs(time.time() - state.st_mtime) > _LEFTOVER_SECONDS
        if not is_left or not stat.S_ISREG(state.st_mode):
            return []
        if not dry_run and os.name != "nt":
            os.unlink(path)  # before another process can lock it
    finally:
        os.close(descriptor)
    if not dry_run and os.name == "nt":  # an open file cannot be removed
        os.unlink(path)
    return [state.st_size]


def lock_descriptor(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; return None if files cannot be locked."""
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return None
    return True


def default_mode() -> int:
    """Return the mode of new files, which depends on the umask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
