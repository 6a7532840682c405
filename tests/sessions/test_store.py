"""Saving sessions: atomic, private, one writer at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from llmtool.errors import InputError, LockedError, OutputError, UsageError
from llmtool.sessions.names import new_name
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Attachment, Session, Turn

TURN = Turn(
    user="¿Qué?\nsecond line",
    files=(Attachment(name="a.txt", text="x\r\ny"),),
    text="雨\u2028🌧",
    reasoning="hm",
    finish_reason="interrupted",
    model="m",
    seed=0,
    completion_tokens=3,
    created_at="2026-11-26T10:40:18Z",
)
SESSION = Session(
    name="work",
    folder="/tmp/here",
    created_at="2026-11-26T10:40:18Z",
    model="starter",
    system="Be brief.",
    options={"temperature": 0.5, "stop": ["x"]},
    turns=(TURN, Turn(user="again")),
    n_omitted=1,
    summary="They said hello.",
)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "data" / "sessions")


def test_saved_session_is_loaded_unchanged(sessions: Sessions) -> None:
    sessions.save(SESSION)
    assert sessions.load("work") == SESSION
    assert sessions.load_header("work") == msgspec.structs.replace(SESSION, turns=())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_files_have_mode_0600_with_any_umask(sessions: Sessions) -> None:
    old = os.umask(0)
    try:
        sessions.save(SESSION)
    finally:
        os.umask(old)
    assert stat.S_IMODE(sessions.path("work").stat().st_mode) == 0o600
    for folder in (sessions.folder, sessions.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_failed_save_preserves_the_old_file(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    sessions.save(SESSION)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr("os.fdopen", fail)
    else:
        monkeypatch.setattr(f"os.{step}", fail)
    with pytest.raises(OutputError, match="no space left"):
        sessions.save(msgspec.structs.replace(SESSION, turns=()))
    monkeypatch.undo()
    assert sessions.load("work") == SESSION
    assert [p.name for p in sessions.folder.iterdir()] == ["work.jsonl"]


@pytest.mark.parametrize(
    "name", ["", "..", ".x", "a/b", "a b", "-x", "x" * 101, "a\n", "a\\b", "a\x1b[31m", "a\u202eb"]
)
def test_invalid_session_name_is_rejected(sessions: Sessions, name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid session name"):
        sessions.load(name)


def test_session_name_may_be_in_any_script(sessions: Sessions) -> None:
    sessions.save(msgspec.structs.replace(SESSION, name="工作-1"))
    assert sessions.names() == ["工作-1"]


def test_unknown_session_suggests_a_similar_name(sessions: Sessions) -> None:
    with pytest.raises(UsageError, match="no session has been saved yet"):
        sessions.load("work")
    sessions.save(SESSION)
    with pytest.raises(UsageError, match="did you mean 'work'"):
        sessions.load("wrok")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1"),
        (b"<html>", "line 1"),
        (b'{"name": "work", "version": 99}\n', "newer llmtool"),
        (b'{"name": "work"}\n{"user": "a"}\n{"user": "b', "line 3: damaged"),
        (b'{"name": "work"}\n{"user": 7}\n', "line 2: damaged"),
    ],
    ids=["empty", "html", "newer", "torn", "type"],
)
def test_error_for_damaged_file_has_the_line_number(
    sessions: Sessions, content: bytes, message: str
) -> None:
    sessions.folder.mkdir(parents=True)
    sessions.path("work").write_bytes(content)
    with pytest.raises(InputError, match=message):
        sessions.load("work")


def test_latest_in_finds_the_last_session_of_a_directory(sessions: Sessions) -> None:
    for name, folder, when in [("a", "/x", 1), ("b", "/y", 3), ("c", "/x", 2)]:
        sessions.save(msgspec.structs.replace(SESSION, name=name, folder=folder))
        os.utime(sessions.path(name), (when, when))
    sessions.path("broken").write_bytes(b"nothing")
    assert sessions.latest_in("/x") == "c"
    assert sessions.latest_in("/z") is None
    assert sessions.names() == ["broken", "b", "c", "a"]


def test_lock_excludes_other_processes(sessions: Sessions) -> None:
    program = (
        "import sys; from pathlib import Path; from llmtool.sessions.store import Sessions\n"
        "with Sessions(Path(sys.argv[1])).lock('work'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(sessions.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        with pytest.raises(LockedError, match="open in another process"), sessions.lock("work"):
            pass
        sessions.save(SESSION)
        with pytest.raises(LockedError):
            sessions.remove("work")
        other.stdin.close()
    sessions.remove("work")
    assert list(sessions.folder.iterdir()) == []


def test_session_without_turns_leaves_no_files(sessions: Sessions) -> None:
    with sessions.lock("work"):
        pass
    assert list(sessions.folder.iterdir()) == []


def test_free_name_appends_a_number(sessions: Sessions) -> None:
    assert sessions.free_name("work") == "work"
    sessions.save(SESSION)
    sessions.save(msgspec.structs.replace(SESSION, name="work-2"))
    assert sessions.free_name("work") == "work-3"


def test_locked_name_is_not_free(sessions: Sessions) -> None:
    with sessions.lock("work"):
        assert sessions.free_name("work") == "work-2"
    assert sessions.free_name("work") == "work"


@pytest.mark.parametrize("name", ["x" * 100, "字" * 66], ids=["ascii", "wide"])
def test_free_name_truncates_a_long_name(sessions: Sessions, name: str) -> None:
    sessions.save(msgspec.structs.replace(SESSION, name=name))
    free = sessions.free_name(name)
    assert free.endswith("-2")
    sessions.save(msgspec.structs.replace(SESSION, name=free))
    copied = sessions.free_name(f"{name}-before")
    assert not sessions.exists(copied)


def test_session_name_too_long_for_a_file_is_rejected(sessions: Sessions) -> None:
    with pytest.raises(UsageError, match="at most 100"):
        sessions.path("字" * 100)


def test_timestamp_is_utc_and_generated_name_has_minutes() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert len(new_name()) == len("2026-11-26-1040")
