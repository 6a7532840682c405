"""Pass items of other threads to a task of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class LoopQueue(Generic[T]):
    """Items for one task of the event loop that runs, which gets all that wait at once.

    All methods but `post` are for the loop's thread. The task is also woken after `wake_seconds`.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     queue = LoopQueue()
        ...     queue.add([1, 2])
        ...     queue.post(queue.add, [3])
        ...     return await queue.get(), await queue.get()
        >>> asyncio.run(main())
        ([1, 2], [3])
    """

    def __init__(self, *, wake_seconds: float | None = None) -> None:
        self._wake_seconds = wake_seconds
        self.loop = asyncio.get_running_loop()
        self._items: list[T] = []
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_woken = False

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the loop's thread; does nothing if the loop was closed."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    def add(self, items: Iterable[T]) -> None:
        """Append items, and wake the task even if there are none."""
        self._items.extend(items)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Let `get` raise an error once no item waits."""
        self._error = self._error or error
        self._wake()

    async def get(self) -> list[T]:
        """Wait until the task is woken; return the items."""
        if not self._is_woken:
            self._waiter = self.loop.create_future()
            await self._wait(self._waiter)
        items, self._items = self._items, []
        self._is_woken = self._error is not None
        if self._error is not None and not items:
            raise self._error
        return items

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        if self._wake_seconds is None:
            await waiter
            return
        timer = self.loop.call_later(self._wake_seconds, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        self._is_woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
