"""Fetch one file over connections that may fail: resume, hash while writing, retry, verify.

Knows nothing of HTTP: a source opens the file at an offset and raises `TransientError` or
`RangeNotSatisfiable`. One thread reads and writes, one hashes, and the calling one polls
`cancelled` ten times a second even when nothing arrives.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from llmtool.errors import Cancelled, DownloadError
from llmtool.models.hashing import BLOCK_BYTES, Hasher
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.connection import Connection, ContentMismatch, Source
from llmtool.models.hub.errors import RangeNotSatisfiable, TransientError
from llmtool.models.hub.retry import POLL_SECONDS, RetryPolicy, describe_wait, pause
from llmtool.sizes import format_bytes


def fetch(
    source: Source,
    part: Path,
    *,
    size: int,
    checksum: str,
    label: str,
    retry: RetryPolicy,
    callbacks: Callbacks,
) -> None:
    """Complete the file `part` from `source`, verify it and sync it to disk.

    The caller holds the lock of the file. On any error but a content mismatch the part stays.
    `on_progress` receives (done, size) bytes, first with what was there already.

    Args:
        size: the bytes of the whole file.
        checksum: a SHA-256, or the SHA-1 of a Git blob, in hexadecimal digits.
        label: the name of the file in messages.

    Raises:
        DownloadError: no progress in `retry.tries` tries, wrong content twice, or disk full.
        Cancelled: `callbacks.cancelled` returned true.
    """
    for is_last in (False, True):
        with _Transfer(source, part, size, checksum, label, retry, callbacks) as transfer:
            try:
                transfer.run()
                return
            except ContentMismatch as exc:
                reason = str(exc)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        if is_last:
            raise DownloadError(
                f"{label}: wrong content twice ({reason}); nothing was saved; a proxy may change "
                f"what passes, try another network or mirror"
            )
        callbacks.on_note(f"{label}: wrong content ({reason}), fetching it once more")


class _Transfer:
    """One attempt at a file, over any number of connections."""

    def __init__(
        self,
        source: Source,
        part: Path,
        size: int,
        checksum: str,
        label: str,
        retry: RetryPolicy,
        callbacks: Callbacks,
    ) -> None:
        self.source, self.part, self.size = source, part, size
        self.checksum, self.label = checksum, label
        self.retry, self.callbacks = retry, callbacks
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
        self.resume()
        failures = server_errors = 0
        while self.done < self.size:
            before = self.done
            try:
                self.stream()
            except RangeNotSatisfiable:
                raise ContentMismatch("the server has fewer bytes") from None
            except TransientError as exc:
                if self.done > before:
                    failures = server_errors = 0
                failures += 1
                server_errors += exc.is_server_error
                self.wait_or_raise(exc, failures, server_errors)
        digest = self.hasher.hexdigest()
        if digest != self.checksum:
            raise ContentMismatch(f"checksum {digest[:12]}…, not {self.checksum[:12]}…")
        os.fsync(self.file)

    def resume(self) -> None:
        """Hash the bytes that an earlier run left, so that only the rest is fetched."""
        length = os.fstat(self.file).st_size
        if length > self.size:
            os.ftruncate(self.file, 0)
            length = 0
        while self.done < length:
            self.check_cancelled()
            block = os.read(self.file, BLOCK_BYTES)
            if not block:
                break
            self.hasher.update(block)
            self.done += len(block)
        self.callbacks.on_progress(self.done, self.size)
        if self.done:
            share = f"{format_bytes(self.done)} of {format_bytes(self.size)}"
            self.callbacks.on_note(f"{self.label}: resuming after {share}")

    def stream(self) -> None:
        """Read one connection to its end, or abandon it when cancelled."""
        connection = Connection(self.source, os.dup(self.file), self.done, self.size, self.hasher)
        try:
            while not connection.ended.wait(POLL_SECONDS):
                self.check_cancelled()
                self.report(connection.done)
        finally:
            connection.stopped = True
        self.report(connection.done)
        if isinstance(connection.error, OSError):
            raise self.disk_error(connection.error) from connection.error
        if connection.error is not None:
            raise connection.error
        if self.done < self.size:
            raise TransientError("the connection was closed early")

    def report(self, done: int) -> None:
        if done != self.done:
            self.done = done
            self.callbacks.on_progress(done, self.size)

    def wait_or_raise(self, exc: TransientError, failures: int, server_errors: int) -> None:
        saved = f"; {format_bytes(self.done)} saved, run again to resume" if self.done else ""
        wait = self.retry.backoff_seconds * 2 ** (failures - 1)
        if exc.retry_after is not None:
            wait = max(exc.retry_after, wait)
            if wait > self.retry.longest_wait_seconds:
                raise DownloadError(
                    f"{self.label}: {exc}: it asks to wait {wait:.0f} s; try again then{saved}"
                ) from exc
        if failures >= self.retry.tries or server_errors >= self.retry.server_error_tries:
            raise DownloadError(
                f"{self.label}: {exc} ({failures} tries without progress)"
                f"{saved or '; try again later'}"
            ) from exc
        self.callbacks.on_note(f"{self.label}: {exc}, {describe_wait(wait)}")
        pause(wait, self.callbacks.cancelled)

    def check_cancelled(self) -> None:
        if self.callbacks.cancelled():
            raise Cancelled(f"{self.label}: stopped; run again to resume")

    def disk_error(self, exc: OSError) -> DownloadError:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return DownloadError(
                f"{self.label}: the disk is full at {self.part.parent}; "
                f"{format_bytes(self.done)} saved, make room and run again to resume"
            )
        return DownloadError(f"{self.part}: cannot be written: {exc.strerror}")
