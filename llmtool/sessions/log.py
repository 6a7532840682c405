"""The log of single replies: one session per month."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

import msgspec

from llmtool import files
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Session, Turn

_NAME = re.compile(r"log-\d{4}-\d\d")
WAIT_SECONDS = 5.0  # for the lock; another process holds it for milliseconds


def log_name(now: float | None = None) -> str:
    """Return the name of the log for a time, by default now, such as `log-2026-11`."""
    return time.strftime("log-%Y-%m", time.localtime(now))


def is_log_name(name: str) -> bool:
    """Return whether a session of this name is a log."""
    return _NAME.fullmatch(name) is not None


def append(
    sessions: Sessions,
    turns: Iterable[Turn],
    *,
    now: float | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str | None:
    """Add turns to the log of this month; return a report if its file was damaged and repaired.

    Raises:
        LockedError: another process holds the lock for longer than `WAIT_SECONDS`.
        Cancelled: `cancelled` returned true during the wait.
        InputError: the log cannot be read.
        OutputError: the log cannot be written.
    """
    name, written_at = log_name(now), timestamp(now)
    new = [msgspec.structs.replace(turn, created_at=written_at) for turn in turns]
    path = sessions.path(name)
    with files.lock(path, timeout_seconds=WAIT_SECONDS, cancelled=cancelled):
        log, report = Session(name=name, created_at=written_at), None
        if sessions.exists(name):
            log, report = sessions.repair(name)
        sessions.save(msgspec.structs.replace(log, turns=(*log.turns, *new)))
    return report
