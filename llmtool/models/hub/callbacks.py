"""Callbacks of long transfers: progress, notes, cancellation."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

OnProgress = Callable[[int, int], None]  # (done, total) bytes
OnNote = Callable[[str], None]  # one line: resuming, waiting, retrying


def no_progress(done: int, total: int) -> None:
    pass


def no_note(text: str) -> None:
    pass


def never() -> bool:
    return False


class Callbacks(msgspec.Struct, frozen=True, kw_only=True):
    """What a download calls while it runs; `cancelled` is polled ten times a second."""

    on_progress: OnProgress = no_progress
    on_note: OnNote = no_note
    cancelled: Callable[[], bool] = never


def add_offset(on_progress: OnProgress, offset: int, total: int) -> OnProgress:
    """Return the callback of one file of several: it starts at byte `offset` of `total`."""
    return lambda done, size: on_progress(min(offset + done, total), total)
