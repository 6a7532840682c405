"""A damaged session file: what is valid is recovered, and the original is preserved."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from llmtool.errors import InputError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn

HEAD = b'{"name": "work", "folder": "/here", "model": "m", "version": 2}\n'
ONE = b'{"user": "one", "text": "1"}\n'
TWO = b'{"user": "two", "text": "2"}\n'


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    (tmp_path / "sessions").mkdir(mode=0o700)
    return Sessions(tmp_path / "sessions")


@pytest.mark.parametrize(
    ("content", "texts", "report"),
    [
        (HEAD + b'{"user": "caf\xe9"}\n' + TWO, ["caf\ufffd", "two"], "line 2: damaged: not UTF-8"),
        (HEAD + ONE + b'{"user": "tw', ["one"], "ends too early; recovered 1 turn, 1 lost"),
        (HEAD + ONE + b'{"user": "two", "text": "\xe2\x82', ["one"], "ends too early"),
        (HEAD + b"\0" * 4096 + ONE + TWO, ["one", "two"], "recovered 2 turns"),
        (HEAD + ONE + b"\0" * 512, ["one"], "line 3: damaged"),
        (b"\0" * 64 + b"\n" + ONE + TWO, ["one", "two"], "line 1: not a llmtool session"),
        (HEAD[:20] + b"\n" + ONE, ["one"], "line 1: not a llmtool session: ends too early"),
        (ONE + TWO, ["one", "two"], "line 1"),
        (HEAD + b"\n" + ONE, ["one"], "line 2: damaged: empty line"),
        (HEAD + b"<<<<<<< HEAD\n" + ONE + b"=======\n" + TWO, ["one", "two"], "2 lost"),
        (HEAD + ONE.strip() + TWO, ["one", "two"], "trailing characters"),
        (HEAD + ONE.strip() + b" // edited\n", ["one"], "trailing characters"),
        (HEAD + b'{"user": "a\tb"}\n', ["a\tb"], "damaged"),
        (HEAD + b'{"user": 7}\n' + TWO, ["two"], "Expected `str`, got `int`"),
        (HEAD + b"[1, 2]\nnull\n" + TWO, ["two"], "2 lost"),
        (HEAD + b"[" * 50_000 + b"\n" + TWO, ["two"], "line 2: damaged"),
        (HEAD + b'{"user": "\\ud83d!"}\n', ["?!"], "damaged"),
        (b"\xef\xbb\xbf" + HEAD + ONE, ["one"], "line 1"),
        ((HEAD + ONE).decode().encode("utf-16"), ["one"], "line 1"),
    ],
    ids=[
        *("latin1", "torn", "torn character", "NUL before a turn", "NUL at the end"),
        *("NUL as the header", "torn header", "no header", "blank line", "merge conflict"),
        *("joined lines", "trailing text", "control character", "type of the text"),
        *("not objects", "nested too deeply", "lone surrogate", "byte order mark", "UTF-16"),
    ],
)
def test_valid_turns_of_a_damaged_session_are_recovered(
    sessions: Sessions, content: bytes, texts: list[str], report: str
) -> None:
    path = sessions.path("work")
    path.write_bytes(content)
    session, found = sessions.recover("work")
    assert [turn.user for turn in session.turns] == texts
    assert found is not None and report in found and "\n" not in found
    assert path.read_bytes() == content
    repaired, found = sessions.repair("work")
    assert found is not None and found.endswith("the original is saved as work.jsonl.damaged")
    assert sessions.load("work") == repaired
    assert [turn.user for turn in repaired.turns] == texts
    assert (sessions.folder / "work.jsonl.damaged").read_bytes() == content


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ('"seconds": NaN', "seconds"),
        ('"prompt_tokens": -1', "prompt_tokens"),
        ('"files": [{"name": 1}]', "files"),
        ('"finish_reason": "later"', "finish_reason"),
        ('"seed": "x"', "seed"),
        ('"text": null', "text"),
    ],
)
def test_field_of_a_wrong_type_is_omitted(sessions: Sessions, field: str, attribute: str) -> None:
    line = '{"user": "one", %s, "model": "m"}\n' % field  # noqa: UP031
    sessions.path("work").write_bytes(HEAD + line.encode())
    (turn,) = sessions.repair("work")[0].turns
    assert (turn.user, turn.model) == ("one", "m")
    default = {"seconds": 0.0, "prompt_tokens": 0, "files": (), "finish_reason": "stop"}
    assert getattr(turn, attribute) == {**default, "seed": None, "text": ""}[attribute]
    assert sessions.load("work").turns == (turn,)


def test_valid_fields_of_a_damaged_header_are_recovered(sessions: Sessions) -> None:
    head = b'{"name": 7, "folder": "/here", "system": "caf\xe9", "options": [], "n_omitted": 9}\n'
    sessions.path("work").write_bytes(head + ONE)
    session, _ = sessions.recover("work")
    assert (session.name, session.folder, session.options) == ("work", "/here", {})
    assert (session.system, session.n_omitted) == ("caf\ufffd", 1)
    assert sessions.latest_in("/here") == "work"


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"<html>\n", b'{"id": 1}\n', b"\x89PNG\r\n\x1a\n"]
)
def test_file_without_a_valid_line_is_an_error_until_it_is_repaired(
    sessions: Sessions, content: bytes
) -> None:
    sessions.path("work").write_bytes(content)
    with pytest.raises(InputError, match="line 1: not a llmtool session"):
        sessions.recover("work")
    session, report = sessions.repair("work")
    assert session.turns == () and session.folder == os.getcwd()
    assert report is not None and "nothing could be recovered; the original is saved" in report
    assert sessions.load("work") == session


@pytest.mark.parametrize("mood", [b"good", b"\xe9"])
@pytest.mark.parametrize("rest", [b"", ONE, b'{"user": "\xe9"}\n'])
def test_session_of_a_newer_version_is_not_repaired(
    sessions: Sessions, mood: bytes, rest: bytes
) -> None:
    head = b'{"name": "work", "version": 3, "mood": "%s"}\n' % mood
    sessions.path("work").write_bytes(head + rest)
    for read in (sessions.recover, sessions.repair):
        with pytest.raises(InputError, match=r"newer llmtool \(format 3\)"):
            read("work")
    assert [path.name for path in sessions.folder.iterdir()] == ["work.jsonl"]


def test_each_original_is_preserved_privately_and_removed_with_its_session(
    sessions: Sessions,
) -> None:
    path = sessions.path("work")
    for n in range(3):
        path.write_bytes(HEAD + ONE + b"{%d" % n)
        sessions.repair("work")
    assert sessions.repair("work")[1] is None
    copies = sorted(each for each in sessions.folder.iterdir() if each != path)
    copies[1].unlink()
    path.write_bytes(HEAD + ONE + b"{1")
    sessions.repair("work")  # takes the free name, and does not replace the third copy
    assert [each.name.removeprefix("work.jsonl") for each in copies] == [
        *(".damaged", ".damaged-2", ".damaged-3")
    ]
    assert [each.read_bytes()[-2:] for each in copies] == [b"{0", b"{1", b"{2"]
    if os.name != "nt":
        assert {stat.S_IMODE(each.stat().st_mode) for each in copies} == {0o600}
    assert sessions.names() == ["work"]
    sessions.remove("work")
    assert list(sessions.folder.iterdir()) == []


@pytest.mark.parametrize("end", [b"", b'{"text": "tw'], ids=["whole", "torn"])
def test_session_of_version_1_is_read_and_saved_in_the_current_one(
    sessions: Sessions, end: bytes
) -> None:
    head = b'{"name": "work", "version": 1}\n'
    old = b'{"text": "one", "reply": "1", "sent": "ONE", "model": "m"}\n{"text": "and?"}\n'
    sessions.path("work").write_bytes(head + old + end)
    session, _ = sessions.repair("work")
    turns = (Turn(user="one", text="1", sent="ONE", model="m"), Turn(user="and?"))
    assert session.turns == turns
    sessions.save(session)
    assert sessions.load("work").turns == turns
    assert b'"version":2' in sessions.path("work").read_bytes()


def test_long_damaged_session_is_recovered_quickly(sessions: Sessions) -> None:
    sessions.folder.mkdir(parents=True, exist_ok=True)
    lines = b'{"damaged\n' + b'{"user": "a", "text": "b"}\n' * 50_000
    sessions.path("long").write_bytes(lines)
    started = time.process_time()
    session, _ = sessions.recover("long")
    assert len(session.turns) == 50_000
    assert time.process_time() - started < 3
