"""Download one file over unreliable connections: resume, hash while writing, retry, verify.

Independent of HTTP: a `Source` opens the file at an offset and raises `TransientError` or
`RangeNotSatisfiable`. One thread reads and writes, one hashes, and the calling thread polls
`cancelled` ten times a second, even on a stalled connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from llmtool.errors import Cancelled, DownloadError, os_error_reason
from llmtool.models.hashing import BLOCK_BYTES, Hasher
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.connection import Connection, ContentMismatch, Source
from llmtool.models.hub.errors import RangeNotSatisfiable
from llmtool.models.hub.retry import POLL_SECONDS, RetryPolicy, wait_before_retry
from llmtool.sizes import format_bytes
from llmtool.web.errors import TransientError


def download(
    source: Source,
    part: Path,
    *,
    size: int,
    checksum: str,
    label: str,
    retry: RetryPolicy,
    callbacks: Callbacks,
) -> None:
    """Complete the partial file `part` from `source`, verify it and sync it to disk.

    The caller must hold the lock of the file. An error keeps `part`, except for a content mismatch.
    `on_progress` receives (done, size) bytes, including those of an earlier download.

    Args:
        size: the size of the whole file in bytes.
        checksum: the SHA-256, or the SHA-1 of the Git blob, in hexadecimal digits.
        label: the name of the file in messages.

    Raises:
        DownloadError: too many failed attempts, two content mismatches, or a full disk.
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
                f"{label}: content mismatch twice ({reason}), not saved; try another network or "
                f"mirror, a proxy may be altering downloads"
            )
        callbacks.on_note(f"{label}: content mismatch ({reason}); downloading again")


@dataclass
class _Transfer:
    """One download of a file, over any number of connections."""

    source: Source
    part: Path
    size: int
    checksum: str
    label: str
    retry: RetryPolicy
    callbacks: Callbacks
    done: int = 0

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
                raise ContentMismatch("the file on the server is shorter") from None
            except TransientError as exc:
                if self.done > before:
                    failures = server_errors = 0
                failures += 1
                server_errors += exc.is_server_error
                is_last = (
                    failures >= self.retry.max_attempts
                    or server_errors >= self.retry.max_server_errors
                )
                remedy = (
                    f"{format_bytes(self.done)} saved, run again to resume"
                    if self.done
                    else "try again later"
                )
                wait_before_retry(
                    exc,
                    self.label,
                    attempt=failures,
                    is_last=is_last,
                    remedy=remedy,
                    retry=self.retry,
                    callbacks=self.callbacks,
                )
        digest = self.hasher.hexdigest()
        if digest != self.checksum:
            raise ContentMismatch(f"checksum {digest[:12]}…, expected {self.checksum[:12]}…")
        os.fsync(self.file)

    def resume(self) -> None:
        """Hash the bytes of an earlier partial download, and continue after them."""
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
            self.callbacks.on_note(f"{self.label}: resuming at {share}")

    def stream(self) -> None:
        """Read one connection to its end, or abandon it if cancelled."""
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

    def check_cancelled(self) -> None:
        if self.callbacks.cancelled():
            raise Cancelled(f"{self.label}: cancelled; run again to resume")

    def disk_error(self, exc: OSError) -> DownloadError:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return DownloadError(
                f"{self.label}: no space left in {self.part.parent}; free some space and run again "
                f"to resume ({format_bytes(self.done)} saved)"
            )
        return DownloadError(f"cannot write {self.part}: {os_error_reason(exc)}")
