"""A clock that is wrong, or set back between two runs."""

from __future__ import annotations

import itertools
import os
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from llmtool import files
from llmtool.models.hub.errors import find_retry_after
from llmtool.sessions import log
from llmtool.sessions.search import search
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Session, Turn
from llmtool.sizes import format_age
from llmtool.tasks.pipeline.disk_cache import DiskCache

DAY = 86400
# 3 March 2026, noon, in UTC.
NOW = 1_772_539_200


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions")


def save(sessions: Sessions, name: str, *, age: float, folder: str = "") -> None:
    sessions.save(Session(name=name, folder=folder, turns=(Turn(user="hello", text="there"),)))
    then = time.time() - age
    os.utime(sessions.path(name), (then, then))


def test_session_of_the_future_is_not_the_latest(sessions: Sessions) -> None:
    """It was saved before the clock was set back by a day."""
    save(sessions, "tomorrow", age=-DAY / 2, folder="/work")
    save(sessions, "old", age=DAY, folder="/work")
    save(sessions, "new", age=0, folder="/work")
    assert sessions.names() == ["new", "old", "tomorrow"]
    assert sessions.latest_in("/work") == "new"


def test_session_of_a_year_beyond_64_bits_of_nanoseconds_is_found(
    sessions: Sessions, tmp_path: Path
) -> None:
    sessions.save(Session(name="late", turns=(Turn(user="hello", text="there"),)))
    os.utime(sessions.path("late"), (0, 13 * 10**9))  # the year 2381
    for _ in range(2):
        found = search(sessions, "hello", index=tmp_path / "sessions.db")
        assert [hit.session for hit in found.hits] == ["late"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9 * 10**18, "9999-12-31T23:59:59Z"),
        (4 * 10**11, "9999-12-31T23:59:59Z"),
        (NOW, "2026-03-03T12:00:00Z"),
        (-(10**18), "1-01-01T00:00:00Z"),
    ],
)
def test_modification_time_of_any_year_can_be_formatted(seconds: int, text: str) -> None:
    state = os.stat_result((0o100600, 1, 1, 1, 0, 0, 0, seconds, seconds, seconds))
    assert timestamp(files.modified_at(state)).lstrip("0") == text


def test_clock_of_another_machine_may_be_ahead(sessions: Sessions) -> None:
    save(sessions, "here", age=10)
    save(sessions, "there", age=-10)
    assert sessions.names() == ["there", "here"]


def add(sessions: Sessions, text: str, now: float, *, limit_bytes: int | None = None) -> None:
    log.append(sessions, [Turn(user=text, text=text)], now=now, limit_bytes=limit_bytes)


def test_log_of_the_future_is_not_continued(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was ten years ahead does not hide the replies after it."""
    add(sessions, "wrong", NOW + 3650 * DAY)
    add(sessions, "old", NOW - 40 * DAY)
    add(sessions, "new", NOW)
    at = time.gmtime(NOW)
    monkeypatch.setattr(time, "localtime", lambda now=None: at if now is None else time.gmtime(now))
    (turn,) = log.last_conversation(sessions, on_report=print)
    assert turn.text == "new"
    found = log.find_turns(sessions, limit=0, on_report=print)
    assert [turn.text for turn in found] == ["wrong", "old", "new"]


@pytest.mark.parametrize("now", [NOW, 0, NOW + 3650 * DAY], ids=["right", "1970", "2036"])
def test_new_turn_stays_when_logs_are_rotated(sessions: Sessions, now: float) -> None:
    for months in (3, 2, 1):
        add(sessions, "old " * 300, NOW - months * 31 * DAY)
    add(sessions, "new", now, limit_bytes=2500)
    texts = [turn.text for name in sessions.names() for turn in sessions.load(name).turns]
    assert "new" in texts and len(texts) < 4


@pytest.mark.parametrize("shift", [-DAY, -56 * 365 * DAY, DAY], ids=["day", "1970", "ahead"])
def test_last_saved_values_stay_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    cache = DiskCache(tmp_path, limit=3)
    for n in range(3):
        cache.save(f"{n:032x}", n)
    now = time.time() + shift
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 1e9))
    for n in range(3, 6):
        cache.save(f"{n:032x}", n)
    assert all(cache.load(f"{n:032x}", int) == n for n in range(3, 6))


def test_age_of_the_future_is_now() -> None:
    assert format_age(-DAY) == "just now"
    assert timestamp(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("now", [0, NOW + DAY], ids=["1970", "ahead"])
def test_retry_time_is_relative_to_the_clock_of_the_server(
    monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    headers = {"Retry-After": formatdate(NOW + 30), "Date": formatdate(NOW)}
    assert find_retry_after(headers) == 30
    assert find_retry_after({**headers, "Date": "yesterday"}) is None


def test_lock_waits_by_the_monotonic_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(NOW, DAY)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    started = time.monotonic()
    with files.lock(tmp_path / "file"), pytest.raises(files.LockedError):
        with files.lock(tmp_path / "file", timeout_seconds=0.3):
            pass
    assert time.monotonic() - started > 0.15
