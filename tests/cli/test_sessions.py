"""`llmtool sessions`."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line
from terminal.screen import Terminal

from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Session, Turn

Run = Callable[..., Any]
BIRDS = Session(
    name="birds",
    folder="/home/me/birds",
    created_at="2026-11-26T10:40:18Z",
    model="starter",
    turns=(
        Turn(
            user="What is a heron?\nBriefly.",
            files=(Attachment(name="pond.txt", text="A heron stood in the pond."),),
            text="A \x1b[31mwading\x1b[0m bird.",
            reasoning="Birds.",
            model="tiny",
            created_at="2026-11-26T10:41:00Z",
        ),
        Turn(user="More?", text="It ea", finish_reason="interrupted", model="tiny"),
    ),
)


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


@pytest.fixture
def sessions(sessions: Sessions, tmp_path: Path) -> Sessions:
    """Two sessions: `birds`, and `tea`, which was used later."""
    sessions.save(BIRDS)
    sessions.save(
        Session(name="tea", folder=str(tmp_path / "cwd"), turns=(Turn(user="Green tea?"),))
    )
    for name, when in (("birds", 1_750_000_000), ("tea", 1_750_000_060)):
        os.utime(sessions.path(name), (when, when))
    return sessions


def test_ls_lists_the_most_recently_used_first(sessions: Sessions, run_llmtool: Run) -> None:
    rows = [row.split("\t") for row in out(run_llmtool("sessions", "ls")).splitlines()]
    assert rows[0][:4] == ["tea", "Green tea?", "1", "-"]
    used = "2025-06-15T15:06:40Z"
    title = "What is a heron? Briefly."
    assert rows[1] == ["birds", title, "2", "tiny", used, "/home/me/birds"]
    entries = json.loads(out(run_llmtool("sessions", "ls", "--json")))
    assert entries[1] == {
        "name": "birds",
        "title": "What is a heron? Briefly.",
        "turns": 2,
        "model": "tiny",
        "folder": "/home/me/birds",
        "created_at": "2026-11-26T10:40:18Z",
        "last_used": "2025-06-15T15:06:40Z",
        "path": str(sessions.path("birds")),
    }


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_ls_on_a_terminal_shows_ages_and_titles_that_fit(env: dict[str, str], columns: int) -> None:
    made = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    text = "\x1b[31mPlease explain how herons\nhunt\x07 in shallow water, " * 5
    made.save(Session(name="birds", model="starter", turns=(Turn(user=text),)))
    when = time.time() - 3 * 3600 - 60
    os.utime(made.path("birds"), (when, when))
    with Terminal([*LLMTOOL, "sessions", "ls"], env, columns=columns) as terminal:
        assert terminal.exit_status == 0
        _, row, *rest = terminal.screen()
    assert not any(rest)
    assert re.match(r"birds +\[31mPlease explain how.*… +1 +(starter +)?3 h ago", row)


def test_show_renders_markdown_on_a_terminal(env: dict[str, str]) -> None:
    made = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    reply = "# Herons\n\n- **hunt** fish\n\n```py\nx = 1\n```\n"
    made.save(Session(name="birds", turns=(Turn(user="Tell me", text=reply),)))
    with Terminal([*LLMTOOL, "sessions", "show", "birds", "--no-pager"], env) as terminal:
        assert terminal.exit_status == 0
        shown = [row for row in terminal.screen() if row]
    assert shown[1:] == ["> Tell me", "Herons", "• hunt fish", "```py", "x = 1", "```"]


@pytest.mark.parametrize("pager", ["cat", "", "no-such-pager", None])
def test_show_opens_a_pager_for_a_long_conversation(
    env: dict[str, str], pager: str | None, tmp_path: Path
) -> None:
    made = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    made.save(Session(name="long", turns=(Turn(user="Count", text="one\n\n" * 60 + "end"),)))
    if pager is None:
        program = tmp_path / "pager"
        program.write_text("#!/bin/sh\nread first\necho paged: $first\n")
        program.chmod(0o755)
        pager = str(program)
    variables = {**env, "TERM": "xterm", "PAGER": pager}
    with Terminal([*LLMTOOL, "sessions", "show", "long"], variables) as terminal:
        assert terminal.exit_status == 0
        rows = [row for row in terminal.screen() if row]
    assert rows[-1] == "end" or rows == ["paged: long"]
    assert ("paged: long" in rows) == pager.endswith("/pager")


def test_ls_here_lists_the_sessions_of_this_directory(sessions: Sessions, run_llmtool: Run) -> None:
    assert out(run_llmtool("sessions", "ls", "--here")).split("\t")[0] == "tea"
    result = run_llmtool("sessions", "ls", "--here", cwd="/")
    assert out(result) == "" and b"no sessions in this directory" in result.stderr


def test_ls_of_a_new_user_creates_nothing(run_llmtool: Run, env: dict[str, str]) -> None:
    result = run_llmtool("sessions", "ls")
    assert out(result) == "" and result.stderr == b"llmtool: no sessions\n"
    assert json.loads(out(run_llmtool("sessions", "ls", "--json"))) == []
    assert not Path(env["LLMTOOL_DATA_DIR"]).exists()


def test_damaged_session_does_not_hide_others(sessions: Sessions, run_llmtool: Run) -> None:
    sessions.path("birds").write_bytes(b'{"name": "birds"}\n{"te')
    result = run_llmtool("sessions", "ls")
    assert out(result).split("\t")[0] == "tea"
    assert b"birds.jsonl, line 2: damaged" in result.stderr
    shown = run_llmtool("sessions", "show", "birds")
    assert out(shown).startswith("birds") and b"line 2: damaged" in shown.stderr
    assert "birds.jsonl" in run_llmtool("sessions", "search", "tea").stderr.decode()
    assert out(run_llmtool("sessions", "rm", "birds")) == ""
    assert sessions.names() == ["tea"]


DAMAGE = {
    "latin1": b'{"name": "birds"}\n{"user": "caf\xe9", "text": "x"}\n',
    "torn": b'{"name": "birds"}\n{"user": "caf\xc3\xa9", "text": "x"}\n{"user": "b',
    "NUL": b'{"name": "birds"}\n\0\0\0\0{"user": "caf\xc3\xa9", "text": "x"}\n',
    "header": b'{"name": 7}\n{"user": "caf\xc3\xa9", "text": "x"}\n',
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_session_is_shown_and_exported(
    sessions: Sessions, run_llmtool: Run, content: bytes
) -> None:
    sessions.path("birds").write_bytes(content)
    for args in (["show", "birds", "--json"], ["export", "birds", "--format", "json"]):
        result = run_llmtool("sessions", *args)
        (turn,) = json.loads(out(result))["turns"]
        assert turn["user"] in ("café", "caf\ufffd") and turn["text"] == "x"
        (note,) = result.stderr.decode().splitlines()
        assert "birds.jsonl, line " in note and "recovered 1 turn" in note
    assert sessions.path("birds").read_bytes() == content


def test_listing_and_search_count_the_damaged_sessions(
    sessions: Sessions, run_llmtool: Run
) -> None:
    for name, content in [("a", b""), ("b", DAMAGE["latin1"]), ("c", b"\0\0")]:
        sessions.path(name).write_bytes(content)
    for args in (["ls"], ["ls", "--json"], ["search", "tea"], ["search", "tea", "--json"]):
        result = run_llmtool("sessions", *args)
        assert "tea" in out(result)
        (note,) = result.stderr.decode().splitlines()
        assert note.startswith("llmtool: skipped 3 damaged sessions; the first: ")
    assert out(run_llmtool("sessions", "rm", "a", "b", "c")) == ""
    assert sorted(sessions.names()) == ["birds", "tea"]


def test_file_without_a_valid_line_cannot_be_shown(sessions: Sessions, run_llmtool: Run) -> None:
    sessions.path("birds").write_bytes(b"")
    for command in ("show", "export"):
        line = error_line(run_llmtool("sessions", command, "birds"), 14)
        assert "birds.jsonl, line 1: not a llmtool session: empty line" in line


def test_show_is_plain_in_a_pipe(sessions: Sessions, run_llmtool: Run) -> None:
    shown = out(run_llmtool("sessions", "show", "birds", env={"TZ": "UTC"}))
    assert shown == (
        "birds · starter · 2026-11-26 10:40 · /home/me/birds\n"
        "\n> What is a heron?\n> Briefly.\n"
        "[pond.txt: 26 characters; --json shows the text]\n"
        "\nBirds.\n"
        "\nA \x1b[31mwading\x1b[0m bird.\n"
        "\n> More?\n\nIt ea\n(interrupted)\n"
    )
    value = json.loads(out(run_llmtool("sessions", "show", "birds", "--json")))
    assert value["turns"][0]["files"][0]["text"] == "A heron stood in the pond."
    assert value["turns"][1]["reasoning"] == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_terminal_escapes_control_characters_and_highlights_hits(
    sessions: Sessions, env: dict[str, str]
) -> None:
    with Terminal([*LLMTOOL, "sessions", "show", "birds"], env, columns=100) as terminal:
        assert terminal.exit_status == 0
        assert any("A ␛[31mwading␛[0m bird." in row for row in terminal.screen())
    with Terminal([*LLMTOOL, "sessions", "search", "wading"], env, columns=100) as terminal:
        assert terminal.exit_status == 0
        screen = terminal.screen()
        assert any(row.startswith("birds  turn 1, reply, 2026-11-26") for row in screen)
        assert "\x1b[1;4mwading\x1b[0m" in terminal.raw.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_sessions_fit_a_narrow_terminal(env: dict[str, str]) -> None:
    made = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    text = "鹭吃鱼，也吃青蛙。 extraordinary herons catch crustaceans in shallow water"
    made.save(Session(name="birds", turns=(Turn(user=text),)))
    with Terminal([*LLMTOOL, "sessions", "search", "herons"], env, columns=24) as terminal:
        assert terminal.exit_status == 0
        rows = [row for row in terminal.screen() if row]
        assert rows[0] == "birds  turn 1, message"
        assert " ".join(rows[1:]) == text
    with Terminal([*LLMTOOL, "sessions", "ls"], env, columns=40) as terminal:
        assert terminal.exit_status == 0
        assert terminal.screen()[1] == "title      鹭吃鱼，也吃青蛙。 extraordi…"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["show", "brids"], 2, "did you mean 'birds'"),
        (["show", "-"], 2, "is not a valid session name"),
        (["show", "../tea"], 2, "is not a valid session name"),
        (["rm", "tea", "nothing"], 2, "unknown session 'nothing'"),
        (["rm"], 2, "NAME"),
        (["export", "brids"], 2, "did you mean 'birds'"),
        (["export", "birds", "-o", "talk.txt"], 2, ".md, .json, .html"),
        (["export", "birds", "--format", "pdf"], 2, "pdf"),
        (["search"], 2, "WORDS"),
        (["search", "x", "--limit", "0"], 2, "limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(
    sessions: Sessions, run_llmtool: Run, args: list[str], code: int, said: str
) -> None:
    assert said in error_line(run_llmtool("sessions", *args), code)
    assert sessions.names() == ["tea", "birds"]


def test_rm_removes_sessions_and_their_text_in_the_index(
    sessions: Sessions, run_llmtool: Run, env: dict[str, str]
) -> None:
    assert out(run_llmtool("sessions", "search", "heron")).count("birds\t") == 2
    index = Path(env["LLMTOOL_CACHE_DIR"], "sessions.db")
    assert b"heron" in index.read_bytes()
    result = run_llmtool("sessions", "rm", "birds", "tea", "--dry-run")
    assert out(result) == "" and b"would remove birds, tea" in result.stderr
    assert sessions.names() == ["tea", "birds"] and index.exists()
    assert json.loads(out(run_llmtool("sessions", "rm", "birds", "birds", "--json"))) == ["birds"]
    assert sessions.names() == ["tea"]
    assert not index.exists()
    assert out(run_llmtool("sessions", "search", "heron")) == ""


def test_rm_removes_nothing_if_one_session_is_open(sessions: Sessions, run_llmtool: Run) -> None:
    with sessions.lock("tea"):
        line = error_line(run_llmtool("sessions", "rm", "birds", "tea"), 18)
        assert "'tea' is open in another process" in line
        assert out(run_llmtool("sessions", "show", "tea")).startswith("tea")
    assert sessions.names() == ["tea", "birds"]


@pytest.mark.parametrize(
    ("args", "begins"),
    [
        ([], "# birds"),
        (["--format", "json"], '{\n  "name": "birds"'),
        (["--format", "html"], "<!DOCTYPE html>"),
        (["-o", "-"], "# birds"),
        (["-o", "/dev/stdout", "--format", "json"], "{"),
    ],
    ids=["default", "json", "html", "stdout", "device"],
)
def test_export_writes_to_a_pipe(
    sessions: Sessions, run_llmtool: Run, args: list[str], begins: str
) -> None:
    assert out(run_llmtool("sessions", "export", "birds", *args)).startswith(begins)


@pytest.mark.parametrize(
    ("file", "args", "begins"),
    [
        ("a.md", [], "# birds"),
        ("a.json", [], "{"),
        ("a.html", [], "<!DOCTYPE"),
        ("a.txt", ["--format", "md"], "# birds"),
        ("plain", [], "# birds"),
    ],
)
def test_export_selects_the_format_by_the_file_name(
    sessions: Sessions, run_llmtool: Run, tmp_path: Path, file: str, args: list[str], begins: str
) -> None:
    assert out(run_llmtool("sessions", "export", "birds", "-o", tmp_path / file, *args)) == ""
    assert (tmp_path / file).read_text().startswith(begins)


def test_search_prints_rows_and_json(sessions: Sessions, run_llmtool: Run) -> None:
    rows = out(run_llmtool("sessions", "search", "HERON", "pond")).splitlines()
    assert rows == ["birds\t1\tfile\t2026-11-26T10:41:00Z\tA heron stood in the pond."]
    found = json.loads(out(run_llmtool("sessions", "search", "heron", "--json", "--limit", "1")))
    assert (found["total"], len(found["hits"])) == (2, 1)
    (hit,) = json.loads(out(run_llmtool("sessions", "search", "pond", "--json")))["hits"]
    assert hit == {
        "session": "birds",
        "turn": 1,
        "role": "file",
        "file": "pond.txt",
        "snippet": "A heron stood in the pond.",
        "spans": [[21, 25]],
        "model": "tiny",
        "created_at": "2026-11-26T10:41:00Z",
    }


def test_search_reports_the_number_of_omitted_hits(sessions: Sessions, run_llmtool: Run) -> None:
    result = run_llmtool("sessions", "search", "heron", "--limit", "1")
    assert len(out(result).splitlines()) == 1
    assert b"showing 1 of 2 hits" in result.stderr


@pytest.mark.parametrize(
    "words", [["nothing"], ["-"], ["--", "-x"], ['"'], ["NEAR(", "*"], ["heron OR tea"], [""]]
)
def test_search_without_hits_succeeds(
    sessions: Sessions, run_llmtool: Run, words: list[str]
) -> None:
    result = run_llmtool("sessions", "search", *words)
    assert out(result) == ""
    assert result.stderr.startswith(b"llmtool: no matches")


def test_search_without_sessions_finds_nothing(run_llmtool: Run) -> None:
    assert json.loads(out(run_llmtool("sessions", "search", "x", "--json"))) == {
        "total": 0,
        "hits": [],
    }


def test_search_works_without_a_writable_folder(
    sessions: Sessions, run_llmtool: Run, env: dict[str, str]
) -> None:
    result = run_llmtool("sessions", "search", "heron", env={"LLMTOOL_CACHE_DIR": "/dev/null/x"})
    assert out(result).count("birds\t") == 2


def test_export_rejects_a_name_of_another_format(
    sessions: Sessions, run_llmtool: Run, tmp_path: Path
) -> None:
    done = run_llmtool("sessions", "export", "birds", "-o", "a.html", "--format", "md")
    assert error_line(done, 2) == "llmtool: -o a.html: --format md writes .md, not html"
