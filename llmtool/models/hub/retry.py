"""Retry failed requests with exponential backoff; waits can be cancelled."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from llmtool.background import run_cancellable
from llmtool.errors import Cancelled, DownloadError
from llmtool.models.hub.callbacks import Callbacks
from llmtool.web.errors import TransientError

T = TypeVar("T")
POLL_SECONDS: Final = 0.1


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts in seconds, and limits of attempts.

    `stall_seconds` is the timeout between two chunks of a file. `backoff_seconds` doubles with each
    attempt. Only attempts since the last received byte count.
    """

    connect_seconds: float = 10
    response_seconds: float = 10
    stall_seconds: float = 30
    backoff_seconds: float = 0.5
    max_wait_seconds: float = 120
    max_attempts: int = 4
    max_server_errors: int = 3  # also the limit of attempts for requests other than files


def describe_wait(seconds: float) -> str:
    """Return the note for a wait: `retrying in 4 s`."""
    return "retrying" if seconds < 1 else f"retrying in {seconds:.0f} s"


def wait_before_retry(
    exc: TransientError,
    label: str,
    *,
    attempt: int,
    is_last: bool,
    remedy: str = "try again later",
    retry: RetryPolicy,
    callbacks: Callbacks,
) -> None:
    """Wait after failed attempt number `attempt`, for as long as the server or the backoff asks.

    Args:
        remedy: the end of the error message, such as "run again to resume".

    Raises:
        DownloadError: this was the last attempt, or the wait is too long.
        Cancelled: `callbacks.cancelled` returned true.
    """
    remedy = exc.remedy or remedy
    seconds = max(retry.backoff_seconds * 2 ** (attempt - 1), exc.retry_after or 0)
    if seconds > retry.max_wait_seconds:
        raise DownloadError(f"{label}: {exc}, retry after {seconds:.0f} s; {remedy}") from exc
    if is_last:
        raise DownloadError(f"{label}: {exc} after {attempt} attempts; {remedy}") from exc
    callbacks.on_note(f"{label}: {exc}; {describe_wait(seconds)}")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if callbacks.cancelled():
            raise Cancelled(f"{label}: cancelled while waiting; run again to resume")
        time.sleep(min(left, POLL_SECONDS))


def with_retries(
    call: Callable[[], T], label: str, *, retry: RetryPolicy, callbacks: Callbacks
) -> T:
    """Return `call()`; retry it on 5xx, 429 and failed connections.

    Raises:
        DownloadError: all attempts failed, or the server asks for too long a wait.
        Cancelled: `callbacks.cancelled` returned true.
    """

    def check() -> None:
        if callbacks.cancelled():
            raise Cancelled("cancelled while waiting for the Hub")

    for attempt in itertools.count(1):
        try:
            return run_cancellable(call, check)
        except TransientError as exc:
            is_last = attempt >= retry.max_server_errors
            wait_before_retry(
                exc, label, attempt=attempt, is_last=is_last, retry=retry, callbacks=callbacks
            )
    raise AssertionError("unreachable")
