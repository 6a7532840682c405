"""The log of single replies."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from llmtool.errors import LockedError
from llmtool.sessions import log
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Exchange, Session, Turn


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


def test_input_of_several_replies_is_stored_once(sessions: Sessions) -> None:
    text = "the hill " * 50
    turns = [
        Turn(
            user="Compare",
            sent=f"Compare: {text}",
            files=(Attachment(name="hill.txt", text=text),),
            text=f"reply {number}",
            exchange=Exchange(id=f"id {number}"),
            created_at="1970-01-01T00:00:00Z",
        )
        for number in range(5)
    ]
    log.append(sessions, turns, now=0)
    path = sessions.path(log.log_name(0))
    assert path.read_bytes().count(text.strip().encode()) == 1
    assert list(sessions.load(log.log_name(0)).turns) == turns
    log.append(sessions, turns[1:3], now=0)
    assert list(sessions.load(log.log_name(0)).turns) == turns + turns[1:3]
    log.append(sessions, turns[:1], now=0, limit_bytes=2000)  # cut among the replies
    kept = sessions.load(log.log_name(0)).turns
    assert len(kept) < 8 and {turn.files[0].text for turn in kept} == {text}
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:40], b"\n", *lines[2:]]))
    found, report = sessions.recover(log.log_name(0))
    assert report is not None and "1 lost" in report
    assert [turn.text for turn in found.turns] == [turn.text for turn in kept[1:]]


def exchange(user: str, id: str, previous: str = "", *, text: str = "Yes.") -> Turn:
    return Turn(user=user, text=text, exchange=Exchange(id=id, previous=previous))


def users(turns: Iterable[Turn]) -> list[str]:
    return [turn.user for turn in turns]


def test_last_conversation_follows_previous_exchanges_across_months(sessions: Sessions) -> None:
    log.append(sessions, [exchange("a", "1"), exchange("b", "2")], now=at("2026-10-31 23:59"))
    # Two commands continued the same exchange at the same time; one reply was interrupted.
    turns = [exchange("c", "3", "1"), exchange("d", "4", "1"), exchange("e", "5", text="")]
    log.append(sessions, turns, now=at("2026-11-01 00:01"))
    assert users(log.last_conversation(sessions, on_report=pytest.fail)) == ["a", "d"]


def test_last_conversation_ends_where_the_log_of_a_month_was_removed(sessions: Sessions) -> None:
    log.append(sessions, [exchange("b", "2", "1"), exchange("c", "3", "2")])
    assert users(log.last_conversation(sessions, on_report=pytest.fail)) == ["b", "c"]


def test_turn_of_an_older_version_is_continued(sessions: Sessions) -> None:
    log.append(sessions, [Turn(user="a", text="Yes.")], now=0)
    (first,) = log.last_conversation(sessions, on_report=pytest.fail)
    log.append(sessions, [exchange("b", "1", log.exchange_id(first))], now=1)
    assert users(log.last_conversation(sessions, on_report=pytest.fail)) == ["a", "b"]


def test_empty_log_has_no_conversation(sessions: Sessions) -> None:
    assert log.last_conversation(sessions, on_report=pytest.fail) == ()
    assert log.find_turns(sessions, limit=3, on_report=pytest.fail) == []


@pytest.mark.parametrize(
    ("query", "limit", "expected"),
    [
        ("", 2, ["The mill", "Two cafés"]),
        ("", 0, ["Rain", "The mill", "Two cafés"]),
        ("river", 3, ["Rain"]),
        ("cafes yes", 3, ["Two cafés"]),
        ('"mill the"', 3, []),
        ('"the mill"', 3, ["The mill"]),
        ("ill", 3, []),
    ],
)
def test_find_turns(sessions: Sessions, query: str, limit: int, expected: list[str]) -> None:
    file = Attachment(name="a.txt", text="by the River")
    log.append(sessions, [Turn(user="Rain", files=(file,))], now=0)
    log.append(sessions, [Turn(user="The mill"), exchange("Two cafés", "1")])
    assert users(log.find_turns(sessions, query, limit=limit, on_report=pytest.fail)) == expected


def test_append_preserves_the_lines_before(sessions: Sessions) -> None:
    log.append(sessions, [Turn(user="a")], now=0)
    path = sessions.path(log.log_name(0))
    inode, before = path.stat().st_ino, path.read_bytes()
    log.append(sessions, [Turn(user="b")], now=0)
    assert path.stat().st_ino == inode and path.read_bytes().startswith(before)


def test_append_converts_a_log_of_an_older_version(sessions: Sessions) -> None:
    path = sessions.path(log.log_name(0))
    path.parent.mkdir()
    path.write_bytes(b'{"name":"log","version":1}\n{"text":"a","reply":"Yes."}\n')
    assert log.append(sessions, [Turn(user="b")], now=0) is None
    assert users(sessions.load(log.log_name(0)).turns) == ["a", "b"]


def test_damaged_log_is_reported_and_the_rest_is_read(sessions: Sessions) -> None:
    log.append(sessions, [Turn(user="a"), Turn(user="b")], now=0)
    path = sessions.path(log.log_name(0))
    path.write_bytes(path.read_bytes()[:-9])
    reports: list[str] = []
    assert users(log.find_turns(sessions, limit=0, on_report=reports.append)) == ["a"]
    assert len(reports) == 1 and "line 3: damaged" in reports[0]


def test_oldest_exchanges_are_removed_above_the_limit(sessions: Sessions) -> None:
    limit = 4000
    for month in ("2026-08", "2026-09"):
        log.append(sessions, [Turn(user="x" * 500)], now=at(f"{month}-01 10:00"))
    for number in range(5):
        turn = Turn(user=f"{number}" + "x" * 500)
        log.append(sessions, [turn], now=at("2026-10-01 10:00"), limit_bytes=limit)
    assert sorted(sessions.names()) == ["log-2026-09", "log-2026-10"]
    for number in range(5, 40):
        turn = Turn(user=f"{number}" + "x" * 500)
        log.append(sessions, [turn], now=at("2026-10-01 10:00"), limit_bytes=limit)
        assert sum(path.stat().st_size for path in sessions.folder.glob("*.jsonl")) <= limit
    assert sessions.names() == ["log-2026-10"]
    numbers = [turn.user.strip("x") for turn in sessions.load("log-2026-10").turns]
    assert len(numbers) >= 4 and numbers == [str(n) for n in range(40 - len(numbers), 40)]


def test_last_exchange_remains_even_if_it_is_larger_than_the_limit(sessions: Sessions) -> None:
    for text in "abc":
        log.append(sessions, [Turn(user=text * 500)], now=0, limit_bytes=100)
    (turn,) = sessions.load(log.log_name(0)).turns
    assert turn.user == "c" * 500


def test_other_sessions_are_not_removed(sessions: Sessions) -> None:
    sessions.save(Session(name="work", turns=(Turn(user="x" * 500),)))
    log.append(sessions, [Turn(user="a")], now=0, limit_bytes=10)
    assert "work" in sessions.names()


@pytest.mark.parametrize("has_prompt", [True, False])
def test_input_is_stored_once(sessions: Sessions, has_prompt: bool) -> None:
    text = "\nThe heron waits.\n"
    turn = Turn(user=text, sent="Title of:\n'The heron waits.'", exchange=Exchange(id="1"))
    if has_prompt:
        files = (Attachment(name="heron.txt", text=text),)
        turn = msgspec.structs.replace(turn, user="Title of:", files=files)
    log.append(sessions, [turn], now=0)
    log.append(sessions, [turn], now=0)
    name = log.log_name(0)
    assert sessions.path(name).read_text().count("heron waits") == 2
    for read in (sessions.load(name), sessions.recover(name)[0]):
        assert [each.sent for each in read.turns] == [turn.sent] * 2
    sessions.path(name).write_bytes(sessions.path(name).read_bytes() + b"{damaged")
    assert sessions.recover(name)[0].turns[1].sent == turn.sent
