"""What a transfer reads from: a file that can be opened at an offset, and how that may fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec


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
