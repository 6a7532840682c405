"""The log of single replies."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmtool.errors import LockedError
from llmtool.sessions import log
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions")


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


def test_each_month_has_its_own_log(sessions: Sessions) -> None:
    log.append(sessions, [Turn(user="a"), Turn(user="b")], now=at("2026-10-31 23:59"))
    log.append(sessions, [Turn(user="c")], now=at("2026-10-31 23:59"))
    log.append(sessions, [Turn(user="d")], now=at("2026-11-01 00:01"))
    assert sorted(sessions.names()) == ["log-2026-10", "log-2026-11"]
    turns = sessions.load("log-2026-10").turns
    assert [turn.user for turn in turns] == ["a", "b", "c"]
    assert all(re.fullmatch(r"2026-1\d-\d\dT\d\d:\d\d:\d\dZ", turn.created_at) for turn in turns)


def test_concurrent_appends_lose_nothing(sessions: Sessions) -> None:
    program = (
        "import sys; from pathlib import Path; from llmtool.sessions.log import append\n"
        "from llmtool.sessions.store import Sessions; from llmtool.sessions.types import Turn\n"
        "for n in range(5):\n"
        "    append(Sessions(Path(sys.argv[1])), [Turn(user=f'{sys.argv[2]}-{n}')], now=0)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(sessions.folder), str(number)])
        for number in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    texts = [turn.user for turn in sessions.load(log.log_name(0)).turns]
    assert sorted(texts) == sorted(f"{number}-{n}" for number in range(4) for n in range(5))


def test_append_waits_for_the_lock(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "WAIT_SECONDS", 0.1)
    with sessions.lock(log.log_name(0)), pytest.raises(LockedError):
        log.append(sessions, [Turn(user="a")], now=0)
    log.append(sessions, [Turn(user="a")], now=0)


def test_damaged_log_is_repaired_and_its_original_preserved(sessions: Sessions) -> None:
    log.append(sessions, [Turn(user="a"), Turn(user="b")], now=0)
    path = sessions.path(log.log_name(0))
    path.write_bytes(path.read_bytes()[:-9])
    before = path.read_bytes()
    report = log.append(sessions, [Turn(user="c")], now=0)
    assert report is not None and "line 3: damaged" in report
    assert Path(f"{path}.damaged").read_bytes() == before
    assert [turn.user for turn in sessions.load(log.log_name(0)).turns] == ["a", "c"]
    assert log.append(sessions, [Turn(user="d")], now=0) is None
