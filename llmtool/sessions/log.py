"""The log of single replies: one session per month."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from llmtool import files
from llmtool.errors import LlmtoolError, OutputError, UsageError
from llmtool.sessions import words
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Session, StoredTurn, Turn

WAIT_SECONDS = 5.0  # for the lock; another process holds it for milliseconds
_KEPT_SHARE = 0.8  # of the size limit, when the oldest turns are removed
_NAME = re.compile(r"log-\d{4}-\d\d")


def log_name(now: float | None = None) -> str:
    """Return the name of the log for a time, by default now, such as `log-2026-11`."""
    return time.strftime("log-%Y-%m", time.localtime(now))


def is_log_name(name: str) -> bool:
    """Return whether a session is the log of a month."""
    return _NAME.fullmatch(name) is not None


def _oldest_first(sessions: Sessions, now: float | None = None) -> list[str]:
    """Return the logs by month; those of the future are first, as in `files.order_of_use`."""
    current = log_name(now)
    found = filter(is_log_name, sessions.names())
    return sorted(found, key=lambda name: (name <= current, name))


def append(
    sessions: Sessions,
    turns: Iterable[Turn],
    *,
    now: float | None = None,
    limit_bytes: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str | None:
    """Add turns to the log of this month; return a report if its file was damaged and repaired.

    If the logs of all months are then larger than `limit_bytes`, the oldest turns are removed.

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
        report = None
        if not sessions.append(name, new):
            log = Session(name=name, created_at=written_at)
            if path.exists():
                log, report = sessions.repair(name)
            sessions.save(msgspec.structs.replace(log, turns=(*log.turns, *new)))
        if limit_bytes is not None:
            _remove_oldest(sessions, name, limit_bytes, now)
    return report


def _remove_oldest(sessions: Sessions, current: str, limit_bytes: int, now: float | None) -> None:
    """Remove the oldest logs, then turns of `current`, which is locked, until the rest fits.

    The last turn remains. Of the turns, more than necessary are removed, so that the next calls
    need not do it again.
    """
    paths = {name: sessions.path(name) for name in _oldest_first(sessions, now)}
    n_bytes = sum(path.stat().st_size for path in paths.values())
    for name, path in paths.items():
        if n_bytes > limit_bytes and name != current:
            n_bytes -= path.stat().st_size
            sessions.remove(name)
    if n_bytes <= limit_bytes:
        return
    log = sessions.load(current)
    sizes = [len(msgspec.json.encode(turn)) for turn in StoredTurn.make_all(log.turns)]
    first = len(sizes)
    n_bytes = 0
    while first and n_bytes <= limit_bytes * _KEPT_SHARE:
        first -= 1
        n_bytes += sizes[first]
    first = min(first + 1, len(log.turns) - 1)
    sessions.save(msgspec.structs.replace(log, turns=log.turns[first:]))


def exchange_id(turn: Turn) -> str:
    """Return the id of a logged turn; older versions wrote none."""
    return turn.exchange.id if turn.exchange is not None else turn.created_at


def last_conversation(sessions: Sessions, *, on_report: Callable[[str], None]) -> tuple[Turn, ...]:
    """Return the last logged turn with a reply, after the turns that it continues.

    Args:
        on_report: called with a line about each damaged log.
    """
    found: list[Turn] = []
    wanted = None
    for turn in _newest_first(sessions, on_report):
        if exchange_id(turn) == wanted if wanted is not None else turn.text.strip():
            found.append(turn)
            wanted = turn.exchange.previous if turn.exchange is not None else ""
            if not wanted:
                break
    return tuple(reversed(found))


def find_turns(
    sessions: Sessions, query: str = "", *, limit: int, on_report: Callable[[str], None]
) -> list[Turn]:
    """Return the last logged turns that contain all words of a query, the last one at the end.

    Args:
        limit: the maximum number of turns; 0 is all.
        on_report: called with a line about each damaged log.
    """
    phrases = [f" {' '.join(phrase)} " for phrase in words.read_query(query)]
    found: list[Turn] = []
    for turn in _newest_first(sessions, on_report):
        if phrases:
            texts = (turn.user, turn.text, *(file.text for file in turn.files))
            text = f" {'  '.join(map(words.join_words, texts))} "
            if not all(phrase in text for phrase in phrases):
                continue
        found.append(turn)
        if len(found) == limit:
            break
    return found[::-1]


def _newest_first(sessions: Sessions, on_report: Callable[[str], None]) -> Iterator[Turn]:
    for name in reversed(_oldest_first(sessions)):
        try:
            log, report = _read(sessions, name)
        except UsageError:
            continue  # removed meanwhile
        except LlmtoolError as exc:
            on_report(str(exc))
            continue
        if report is not None:
            on_report(report)
        yield from reversed(log.turns)


def _read(sessions: Sessions, name: str) -> tuple[Session, str | None]:
    """Return what is valid of a log; no other process writes it meanwhile."""
    try:
        with files.lock(sessions.path(name), timeout_seconds=WAIT_SECONDS):
            return sessions.recover(name)
    except OutputError:  # the folder is not writable, so nothing is being written
        return sessions.recover(name)
