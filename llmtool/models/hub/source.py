"""The source of a transfer: a file that can be opened at an offset, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec


class TransientError(Exception):
    """A request failed in a way that a retry may fix; `str()` is the reason as a phrase.

    `retry_after` is in seconds, as the server asked. `is_server_error` has a limit of its own.
    """

    def __init__(
        self, reason: str, *, retry_after: float | None = None, is_server_error: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_server_error = is_server_error


class RangeNotSatisfiable(Exception):
    """The server's file is shorter than the offset: the partial file is not a beginning of it."""


class Body(msgspec.Struct, frozen=True):
    """An open transfer: the offset of its first byte, its declared length in bytes, its chunks."""

    start: int
    length: int | None
    chunks: Iterator[bytes]


Source = Callable[[int], AbstractContextManager[Body]]
