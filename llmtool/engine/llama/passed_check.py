"""The record that a model file passed its check, which only this user can write.

A record is authenticated with a key that only the user can read. It is ignored, and not written, in
a folder that others own or can write to, such as a shared cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError
from llmtool.temporary import remove_leftovers

_FORMAT = 2  # raise it when the checks change
_KEY_BYTES = 32
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class PassedCheck:
    """The record of one model in a folder.

    Args:
        parts: the files of the model.
        build: the version of llama.cpp that checked it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from llmtool import files
        >>> folder = Path(tempfile.mkdtemp())
        >>> record = PassedCheck(folder / "checked", [Path(files.__file__)], build="b1")
        >>> record.exists(), record.write(), record.exists()
        (False, None, True)
        >>> PassedCheck(folder / "checked", [Path(files.__file__)], build="b2").exists()
        False
    """

    def __init__(self, folder: Path, parts: Sequence[Path], *, build: str) -> None:
        self._folder, self._parts = folder, parts
        self.identities, self._links = self._identify()
        self._content = b""
        if self.identities:
            self._content = msgspec.json.encode([_FORMAT, build, self.identities])
        self._path = folder / hashlib.blake2b(self._content, digest_size=16).hexdigest()

    def _identify(self) -> tuple[list[files.FileIdentity], list[tuple[int, ...]]]:
        try:
            identities = [files.identify(part) for part in self._parts]
            links = [os.lstat(part) for part in self._parts]
        except OSError:  # a missing file: its check reports it
            return [], []
        return identities, [(each.st_dev, each.st_ino, each.st_ctime_ns) for each in links]

    def is_current(self) -> bool:
        """Return whether the files are still those that were identified, links included."""
        return bool(self.identities) and self._identify() == (self.identities, self._links)

    def exists(self) -> bool:
        """Return whether this user has recorded that the unchanged files passed."""
        key = self._read_key()
        recorded = _read_own(self._path) if key else b""
        return bool(recorded) and hmac.compare_digest(recorded, self._sign(key))

    def write(self) -> None:
        """Record it; without effect in a read-only folder, or one that is not the user's."""
        if not self._content:
            return
        with contextlib.suppress(LlmtoolError, OSError):
            files.make_folder(self._folder)
            remove_leftovers(self._folder)
            if not self._read_key() and _is_private(self._folder):
                files.write_atomically(self._folder / "key", os.urandom(_KEY_BYTES))
            if key := self._read_key():
                files.write_atomically(self._path, self._sign(key), is_durable=False)

    def _read_key(self) -> bytes:
        key = _read_own(self._folder / "key") if _is_private(self._folder) else b""
        return key if len(key) == _KEY_BYTES else b""

    def _sign(self, key: bytes) -> bytes:
        return hashlib.blake2b(self._content, key=key).hexdigest().encode()


def _is_private(folder: Path) -> bool:
    try:
        state = os.stat(folder)
    except OSError:
        return False
    return _is_own(state) and not (hasattr(os, "geteuid") and state.st_mode & 0o022)


def _read_own(path: Path) -> bytes:
    """Return the start of a file that only this user can read, or nothing."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        state = os.fstat(descriptor)
        is_secret = stat.S_ISREG(state.st_mode) and _is_own(state)
        if hasattr(os, "geteuid"):
            is_secret = is_secret and not state.st_mode & 0o077
        return os.read(descriptor, 256) if is_secret else b""
    finally:
        os.close(descriptor)


def _is_own(state: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or state.st_uid == os.geteuid()
