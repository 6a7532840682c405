"""How many requests run at once: as many as the server answers in time.

Source: TCP's congestion control (RFC 5681): the limit doubles in each round until the first
overload, which halves it; afterwards it grows by one in each round.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

_FIRST_LIMIT = 8


class Limiter:
    """Lets at most `limit` requests run, never more than `most`, and none during a pause.

    Example:
        >>> limiter = Limiter(32)
        >>> limiter.report_success()
        >>> limiter.report_overload(started=0.0)
        >>> limiter.limit
        4.5
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = float(min(_FIRST_LIMIT, most))
        self.n_running = 0
        self._doubles = True
        self._changed_at = 0.0
        self._resume_at = 0.0
        self._condition = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until one more request may run."""
        async with self._condition:
            await self._condition.wait_for(lambda: self.n_running < max(1, int(self.limit)))
            self.n_running += 1
        try:
            while (pause := self._resume_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            yield
        finally:
            self.n_running -= 1
            async with self._condition:
                self._condition.notify_all()

    def report_success(self) -> None:
        step = 1.0 if self._doubles else 1 / self.limit
        self.limit = min(float(self._most), self.limit + step)

    def report_overload(self, *, started: float, pause: float = 0.0) -> None:
        """Halve the limit, once for the requests that ran together, and pause new requests.

        Args:
            started: the `time.monotonic()` at which the rejected request was sent.
        """
        self._doubles = False
        now = time.monotonic()
        self._resume_at = max(self._resume_at, now + pause)
        if started >= self._changed_at:
            self.limit = max(1.0, self.limit / 2)
            self._changed_at = now
