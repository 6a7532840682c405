"""What a long transfer tells its caller, and how patient it is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

OnProgress = Callable[[int, int], None]  # (done, total) bytes
OnNote = Callable[[str], None]  # one line: resuming, waiting, trying again


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds, and how often to try again without any progress."""

    connect_seconds: float = 10
    answer_seconds: float = 10
    stall_seconds: float = 30
    backoff_seconds: float = 0.5
    longest_wait_seconds: float = 120
    tries: int = 4
    server_error_tries: int = 3


def no_progress(done: int, total: int) -> None:
    pass


def no_note(text: str) -> None:
    pass


def never() -> bool:
    return False
