"""Callbacks of downloads and other long operations: progress, notes, cancellation."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

OnProgress = Callable[[int, int], None]  # (done, total) bytes
OnNote = Callable[[str], None]  # one line of text


def no_progress(done: int, total: int) -> None:
    pass


def no_note(text: str) -> None:
    pass


class Callbacks(msgspec.Struct, frozen=True, kw_only=True):
    """The callbacks of a long operation; `cancelled` is polled several times a second."""

    on_progress: OnProgress = no_progress
    on_note: OnNote = no_note
    cancelled: Callable[[], bool] = lambda: False

    def at(self, offset: int, total: int) -> Callbacks:
        """Return callbacks for one file of several, which starts at byte `offset` of `total`."""

        def on_progress(done: int, size: int) -> None:
            self.on_progress(min(offset + done, total), total)

        return msgspec.structs.replace(self, on_progress=on_progress)


NO_CALLBACKS = Callbacks()
