"""Retry requests with exponential backoff, cancellable at any time."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

import msgspec

from llmtool.errors import Cancelled, DownloadError
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.errors import TransientError

T = TypeVar("T")
POLL_SECONDS: Final = 0.1


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts in seconds, and the number of tries without progress."""

    connect_seconds: float = 10
    answer_seconds: float = 10
    stall_seconds: float = 30
    backoff_seconds: float = 0.5
    longest_wait_seconds: float = 120
    tries: int = 4
    server_error_tries: int = 3


def describe_wait(seconds: float) -> str:
    """Return the note before another try: `trying again in 4 s`."""
    return "trying again" if seconds < 1 else f"trying again in {seconds:.0f} s"


def pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Sleep.

    Raises:
        Cancelled: `cancelled` returned true.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled("stopped while waiting; run again to resume")
        time.sleep(min(left, POLL_SECONDS))


def run_cancellable(call: Callable[[], T], cancelled: Callable[[], bool]) -> T:
    """Return `call()`, run in a thread that is abandoned when `cancelled` returns true."""
    answer: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(1)

    def run() -> None:
        try:
            answer.put((call(), None))
        except BaseException as exc:  # noqa: BLE001 - it is raised again by the other thread
            answer.put((None, exc))

    threading.Thread(target=run, name="llmtool-request", daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            value, error = answer.get(timeout=POLL_SECONDS)
            if error is not None:
                raise error
            return cast(T, value)
        if cancelled():
            raise Cancelled("stopped while asking the Hub")


def with_retries(
    call: Callable[[], T], label: str, *, retry: RetryPolicy, callbacks: Callbacks
) -> T:
    """Return `call()`; retry it on 5xx, 429 and failed connections.

    Raises:
        DownloadError: every try failed, or the server asks to wait too long.
        Cancelled: `callbacks.cancelled` returned true.
    """
    for attempt in range(1, retry.server_error_tries + 1):
        try:
            return run_cancellable(call, callbacks.cancelled)
        except TransientError as exc:
            wait = max(retry.backoff_seconds * 2 ** (attempt - 1), exc.retry_after or 0)
            if wait > retry.longest_wait_seconds:
                raise DownloadError(
                    f"{label}: {exc}: it asks to wait {wait:.0f} s; try again then"
                ) from None
            if attempt == retry.server_error_tries:
                raise DownloadError(f"{label}: {exc} ({attempt} tries); try again later") from None
            callbacks.on_note(f"{label}: {exc}, {describe_wait(wait)}")
            pause(wait, callbacks.cancelled)
    raise AssertionError("unreachable")
