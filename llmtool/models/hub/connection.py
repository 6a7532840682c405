"""Read one connection into a file and a hash, in a thread that can be abandoned."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import msgspec

from llmtool.models.hashing import Hasher

_SYNC_BYTES: Final = 64 * 1024 * 1024


class Body(msgspec.Struct, frozen=True):
    """A response body: the offset of its first byte, its declared length in bytes, its chunks."""

    start: int
    length: int | None
    chunks: Iterator[bytes]


# Opens a file at a byte offset; raises TransientError or RangeNotSatisfiable.
Source = Callable[[int], AbstractContextManager[Body]]


class ContentMismatch(Exception):
    """The received bytes do not match the listing; `str()` is the difference."""


class Connection:
    """A thread that reads one connection into a file and a hash.

    A stuck connection can be abandoned: the thread has its own file descriptor, writes at explicit
    offsets, and stops before its next write.
    """

    def __init__(self, source: Source, file: int, done: int, size: int, hasher: Hasher) -> None:
        self.source, self.file, self.done, self.size = source, file, done, size
        self.hasher = hasher
        self.next_sync = _SYNC_BYTES
        self.syncer: threading.Thread | None = None
        self.error: BaseException | None = None
        self.stopped = False
        self.ended = threading.Event()
        threading.Thread(target=self.run, name="llmtool-download", daemon=True).start()

    def run(self) -> None:
        try:
            with self.source(self.done) as body:
                self.copy(body)
        except BaseException as exc:  # noqa: BLE001 - the calling thread raises it
            self.error = exc
        finally:
            if self.syncer is not None:
                self.syncer.join()
            os.close(self.file)
            self.ended.set()

    def copy(self, body: Body) -> None:
        if body.length is not None and body.start + body.length != self.size:
            raise ContentMismatch(f"{body.start + body.length} of {self.size} bytes")
        if body.start > self.done:
            raise ContentMismatch("the server sent another range")
        skip = self.done - body.start  # a server may ignore the range and start at 0
        for chunk in body.chunks:
            if skip:
                dropped = min(skip, len(chunk))
                chunk, skip = chunk[dropped:], skip - dropped
            if self.stopped:
                return
            if self.done + len(chunk) > self.size:
                raise ContentMismatch(f"more than {self.size} bytes")
            self.hasher.update(chunk)
            self.write(chunk)
            self.sync_behind()

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self.file, view, self.done)
            view = view[written:]
            self.done += written

    def sync_behind(self) -> None:
        """Sync the file in the background to shorten the final sync."""
        if self.done >= self.next_sync and not (self.syncer and self.syncer.is_alive()):
            self.next_sync = self.done + _SYNC_BYTES
            self.syncer = threading.Thread(target=self.sync, name="llmtool-sync", daemon=True)
            self.syncer.start()

    def sync(self) -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(self.file)
        except OSError as exc:
            self.error = exc
