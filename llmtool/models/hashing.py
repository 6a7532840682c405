"""Hash files in a thread, with the algorithms of the Hub."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from llmtool.errors import Cancelled
from llmtool.models.hub.callbacks import Callbacks

BLOCK_BYTES: Final = 1024 * 1024
_QUEUE = 8
_SAMPLES, _SAMPLE_BYTES = 64, 4096


class Hasher:
    """Computes a hash in its own thread; the length of `checksum` selects the algorithm."""

    def __init__(self, checksum: str, size: int) -> None:
        if len(checksum) == 64:
            self._hash = hashlib.sha256()
        else:
            self._hash = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="llmtool-hash", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        self._queue.put(data)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def hexdigest(self) -> str:
        self.close()
        return self._hash.hexdigest()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            self._hash.update(data)


def hash_file(
    path: Path, checksum: str, callbacks: Callbacks, *, copy_to: BinaryIO | None = None
) -> str:
    """Return the SHA-256 of a file, or its Git blob SHA-1 if `checksum` has 40 digits.

    Args:
        copy_to: a file to copy the content to.

    Raises:
        Cancelled: `cancelled` returned true.
    """
    size, done = path.stat().st_size, 0
    hasher = Hasher(checksum, size)
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                if callbacks.cancelled():
                    raise Cancelled(f"{path.name}: cancelled")
                hasher.update(block)
                if copy_to is not None:
                    copy_to.write(block)
                done += len(block)
                callbacks.on_progress(done, size)
    finally:
        hasher.close()
    return hasher.hexdigest()


def fingerprint(paths: Sequence[Path]) -> str:
    """Return a hash of samples of the files, to distinguish models without reading all bytes.

    Different weights differ throughout the file, so the size and 64 blocks of 4 KiB are enough;
    hashing all bytes would take a second per gigabyte.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(b"%d:" % size)
        with path.open("rb", buffering=0) as file:
            for i in range(_SAMPLES):
                file.seek(i * max(0, size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:32]
