"""Fetch one file over a connection that may fail: resume, hash while writing, retry, verify.

Knows nothing of HTTP: a source opens the file at an offset and says what went wrong in two
exceptions. One thread reads and writes, one hashes, and the calling one looks at `cancelled` ten
times a second even when nothing arrives.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from llmtool.errors import Cancelled, DownloadError
from llmtool.models.progress import (
    OnNote,
    OnProgress,
    Patience,
    format_size,
    never,
    no_note,
    no_progress,
)

T = TypeVar("T")
_BATCH_BYTES: Final = 1024 * 1024
_SYNC_BYTES: Final = 64 * _BATCH_BYTES
_POLL_SECONDS: Final = 0.1
_QUEUE = 8


class Interrupted(Exception):
    """The connection failed in a way that may pass; `str()` is the reason as a phrase.

    `retry_after` is what the server asked for, `is_server_error` counts against its own limit.
    """

    def __init__(
        self, reason: str, *, retry_after: float | None = None, is_server_error: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_server_error = is_server_error


class RangeRefused(Exception):
    """The server has no such offset: what is here is not a beginning of its file."""


class Body(msgspec.Struct, frozen=True):
    """An open transfer: the offset of its first byte, the bytes it claims to have, the chunks."""

    start: int
    length: int | None
    chunks: Iterator[bytes]


Source = Callable[[int], AbstractContextManager[Body]]


class _WrongContent(Exception):
    """What came is not the file; `str()` says what came instead."""


def fetch(
    source: Source,
    part: Path,
    *,
    size: int,
    checksum: str,
    label: str,
    patience: Patience = Patience(),  # noqa: B008
    on_progress: OnProgress = no_progress,
    on_note: OnNote = no_note,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Complete `part` from `source`, verify it and sync it to disk; what is there is kept.

    The caller holds the lock of the file. On any error but a wrong content the part stays.
    `on_progress` is called with what was there already, then as bytes arrive.

    Args:
        checksum: a SHA-256, or the SHA-1 of a Git blob, in hexadecimal digits.
        label: what the file is called in messages.

    Raises:
        DownloadError: no progress in `patience.tries` tries, twice the wrong content, disk full.
        Cancelled: `cancelled` became true.
    """
    for is_last in (False, True):
        with _Transfer(source, part, size, checksum, label, patience) as transfer:
            transfer.on_progress, transfer.on_note = on_progress, on_note
            transfer.cancelled = cancelled
            try:
                transfer.run()
                return
            except _WrongContent as exc:
                reason = str(exc)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        if is_last:
            raise DownloadError(
                f"{label}: wrong content twice ({reason}); nothing was kept; a proxy may change "
                f"what passes, try another network or mirror"
            )
        on_note(f"{label}: wrong content ({reason}), fetching it once more")


class _Transfer:
    """One attempt at a file, over any number of connections."""

    def __init__(
        self, source: Source, part: Path, size: int, checksum: str, label: str, patience: Patience
    ) -> None:
        self.source, self.part, self.size = source, part, size
        self.checksum, self.label, self.patience = checksum, label, patience
        self.on_progress: OnProgress = no_progress
        self.on_note: OnNote = no_note
        self.cancelled: Callable[[], bool] = never
        self.done = 0

    def __enter__(self) -> _Transfer:
        try:
            self.file = os.open(self.part, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as exc:
            raise self.disk_error(exc) from exc
        self.hasher = Hasher(self.checksum, self.size)
        return self

    def __exit__(self, *_: object) -> None:
        self.hasher.close()
        os.close(self.file)

    def run(self) -> None:
        self.take_up()
        failures = server_errors = 0
        while self.done < self.size:
            before = self.done
            try:
                self.stream()
            except RangeRefused:
                raise _WrongContent("the server has fewer bytes") from None
            except Interrupted as exc:
                if self.done > before:
                    failures = server_errors = 0
                failures += 1
                server_errors += exc.is_server_error
                self.give_up_or_wait(exc, failures, server_errors)
        digest = self.hasher.hexdigest()
        if digest != self.checksum:
            raise _WrongContent(f"checksum {digest[:12]}…, not {self.checksum[:12]}…")
        os.fsync(self.file)

    def take_up(self) -> None:
        """Hash what an earlier run left, so that only the rest is fetched."""
        length = os.fstat(self.file).st_size
        if length > self.size:
            os.ftruncate(self.file, 0)
            length = 0
        while self.done < length:
            self.check_cancelled()
            block = os.read(self.file, _BATCH_BYTES)
            if not block:
                break
            self.hasher.update(block)
            self.done += len(block)
        if self.done:
            share = f"{format_size(self.done)} of {format_size(self.size)}"
            self.on_note(f"{self.label}: resuming after {share}")
        self.on_progress(self.done, self.size)

    def stream(self) -> None:
        """Read one connection to its end, or leave it behind when cancelled."""
        worker = _Worker(self.source, os.dup(self.file), self.done, self.size, self.hasher)
        try:
            while not worker.ended.wait(_POLL_SECONDS):
                self.check_cancelled()
                self.report(worker.done)
        finally:
            worker.stopped = True
        self.report(worker.done)
        if isinstance(worker.error, OSError):
            raise self.disk_error(worker.error) from worker.error
        if worker.error is not None:
            raise worker.error
        if self.done < self.size:
            raise Interrupted("the connection was closed early")

    def report(self, done: int) -> None:
        if done != self.done:
            self.done = done
            self.on_progress(done, self.size)

    def give_up_or_wait(self, exc: Interrupted, failures: int, server_errors: int) -> None:
        kept = f"; {format_size(self.done)} are kept, run again to resume" if self.done else ""
        patience = self.patience
        wait = patience.backoff_seconds * 2 ** (failures - 1)
        if exc.retry_after is not None:
            wait = max(exc.retry_after, wait)
            if wait > patience.longest_wait_seconds:
                raise DownloadError(
                    f"{self.label}: {exc}: it asks to wait {wait:.0f} s; try again then{kept}"
                ) from exc
        if failures >= patience.tries or server_errors >= patience.server_error_tries:
            raise DownloadError(
                f"{self.label}: {exc} ({failures} tries without progress)"
                f"{kept or '; try again later'}"
            ) from exc
        self.on_note(f"{self.label}: {exc}, trying again in {wait:.0f} s")
        pause(wait, self.cancelled)

    def check_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled(f"{self.label}: stopped; run again to resume")

    def disk_error(self, exc: OSError) -> DownloadError:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return DownloadError(
                f"{self.label}: the disk is full at {self.part.parent}; "
                f"{format_size(self.done)} are kept, make room and run again to resume"
            )
        return DownloadError(f"{self.part}: cannot be written: {exc.strerror}")


class _Worker:
    """A thread that reads one connection into the file and the hash.

    A stuck one can be left behind: it has its own descriptor, writes each byte to its own place,
    and stops before the next write.
    """

    def __init__(self, source: Source, file: int, done: int, size: int, hasher: Hasher) -> None:
        self.source, self.file, self.done, self.size = source, file, done, size
        self.hasher, self.syncer = hasher, _Syncer(file)
        self.error: BaseException | None = None
        self.stopped = False
        self.ended = threading.Event()
        threading.Thread(target=self.run, name="llmtool-download", daemon=True).start()

    def run(self) -> None:
        try:
            with self.source(self.done) as body:
                self.copy(body)
        except BaseException as exc:  # noqa: BLE001 - it is raised again by the other thread
            self.error = exc
        finally:
            self.syncer.join()
            self.error = self.error or self.syncer.error
            os.close(self.file)
            self.ended.set()

    def copy(self, body: Body) -> None:
        if body.length is not None and body.start + body.length != self.size:
            raise _WrongContent(f"{body.start + body.length} of {self.size} bytes")
        if body.start > self.done:
            raise _WrongContent("the server answered with another range")
        skip = self.done - body.start  # a server that ignores ranges starts at 0 again
        for chunk in body.chunks:
            if skip:
                dropped = min(skip, len(chunk))
                chunk, skip = chunk[dropped:], skip - dropped
            if self.stopped:
                return
            if self.done + len(chunk) > self.size:
                raise _WrongContent(f"more than {self.size} bytes")
            self.hasher.update(chunk)
            self.write(chunk)
            self.syncer.sync_behind(self.done)

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self.file, view, self.done)
            view = view[written:]
            self.done += written


class _Syncer:
    """Sends what is written to the disk meanwhile, so that little is left for the last sync."""

    def __init__(self, file: int) -> None:
        self.file, self.next = file, _SYNC_BYTES
        self.thread: threading.Thread | None = None
        self.error: OSError | None = None

    def sync_behind(self, done: int) -> None:
        if done < self.next or (self.thread and self.thread.is_alive()):
            return
        self.next = done + _SYNC_BYTES
        self.thread = threading.Thread(target=self.run, name="llmtool-sync", daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(self.file)
        except OSError as exc:
            self.error = exc

    def join(self) -> None:
        if self.thread:
            self.thread.join()


class Hasher:
    """A hash in a thread of its own, chosen by the length of the expected digest."""

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


def pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Sleep, unless cancelled.

    Raises:
        Cancelled: `cancelled` became true.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled("stopped while waiting; run again to resume")
        time.sleep(min(left, _POLL_SECONDS))


def run_cancellable(call: Callable[[], T], cancelled: Callable[[], bool]) -> T:
    """Return `call()`, made in a thread that is left behind when `cancelled` becomes true."""
    answer: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(1)

    def run() -> None:
        try:
            answer.put((call(), None))
        except BaseException as exc:  # noqa: BLE001 - it is raised again by the other thread
            answer.put((None, exc))

    threading.Thread(target=run, name="llmtool-request", daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            value, error = answer.get(timeout=_POLL_SECONDS)
            if error is not None:
                raise error
            return cast(T, value)
        if cancelled():
            raise Cancelled("stopped while asking the Hub")


def hash_file(
    path: Path,
    checksum: str,
    *,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = never,
) -> str:
    """Return the digest of a file, of the kind that `checksum` is."""
    size, done = path.stat().st_size, 0
    hasher = Hasher(checksum, size)
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BATCH_BYTES):
                if cancelled():
                    raise Cancelled(f"{path.name}: stopped")
                hasher.update(block)
                done += len(block)
                on_progress(done, size)
    finally:
        hasher.close()
    return hasher.hexdigest()
