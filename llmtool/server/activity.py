"""How many requests run, and how long none has run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 1.0


class Activity:
    """Counts the calls in its `with` blocks, of any thread.

    Example:
        >>> activity = Activity()
        >>> with activity:
        ...     activity.n_running, activity.idle_seconds
        (1, 0.0)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended_at = time.monotonic()
        self.n_running = 0

    def __enter__(self) -> None:
        with self._lock:
            self.n_running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.n_running -= 1
            self._ended_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """The time since the last call ended, or since the start; 0 while one runs."""
        with self._lock:
            return 0.0 if self.n_running else time.monotonic() - self._ended_at

    def call_when_idle(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function in a thread, once, when no call has run for so many seconds."""

        def watch() -> None:
            while (left := seconds - self.idle_seconds) > 0:
                time.sleep(min(left, _POLL_SECONDS))
            function()

        threading.Thread(target=watch, name="llmtool-idle", daemon=True).start()
