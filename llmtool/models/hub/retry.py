"""Wait for time to pass or for an answer, while somebody may cancel."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

from llmtool.errors import Cancelled, DownloadError
from llmtool.models.hub.callbacks import OnNote, Patience
from llmtool.models.hub.source import Interrupted

T = TypeVar("T")
POLL_SECONDS: Final = 0.1


def announce(seconds: float) -> str:
    """Return what is said before another try: `trying again in 4 s`."""
    return "trying again" if seconds < 1 else f"trying again in {seconds:.0f} s"


def pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Sleep, unless cancelled.

    Raises:
        Cancelled: `cancelled` became true.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled("stopped while waiting; run again to resume")
        time.sleep(min(left, POLL_SECONDS))


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
            value, error = answer.get(timeout=POLL_SECONDS)
            if error is not None:
                raise error
            return cast(T, value)
        if cancelled():
            raise Cancelled("stopped while asking the Hub")


def ask(
    call: Callable[[], T],
    label: str,
    *,
    patience: Patience,
    on_note: OnNote,
    cancelled: Callable[[], bool],
) -> T:
    """Return `call()`; 5xx, 429 and failed connections are tried again.

    Raises:
        DownloadError: it failed each time, or the server asks for a longer wait than we have.
        Cancelled: `cancelled` became true.
    """
    for attempt in range(1, patience.server_error_tries + 1):
        try:
            return run_cancellable(call, cancelled)
        except Interrupted as exc:
            wait = max(patience.backoff_seconds * 2 ** (attempt - 1), exc.retry_after or 0)
            if wait > patience.longest_wait_seconds:
                raise DownloadError(
                    f"{label}: {exc}: it asks to wait {wait:.0f} s; try again then"
                ) from None
            if attempt == patience.server_error_tries:
                raise DownloadError(f"{label}: {exc} ({attempt} tries); try again later") from None
            on_note(f"{label}: {exc}, {announce(wait)}")
            pause(wait, cancelled)
    raise AssertionError("unreachable")
