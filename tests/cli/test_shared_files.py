"""Eight processes that write the same file lose no data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmtool.cli.commands.chat.line_editor import open_history
from llmtool.config import load_settings
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session

WRITERS = range(8)
REMEMBER = """
import sys
from pathlib import Path
from llmtool.cli.commands.chat.line_editor import open_history
history = open_history(Path(sys.argv[1]))
for n in range(20):
    history.store_string(f"{sys.argv[2]} {n}" + chr(10) + ("word" + chr(10)) * 6000)
"""
ADD_A_TURN = """
import sys, time
from pathlib import Path
import msgspec
from llmtool.errors import LockedError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn
sessions = Sessions(Path(sys.argv[1]))
for _ in range(2000):
    try:
        with sessions.lock("work"):
            old = sessions.load("work")
            sessions.save(msgspec.structs.replace(old, turns=(*old.turns, Turn(user=sys.argv[2]))))
            break
    except LockedError:
        time.sleep(0.01)
else:
    raise SystemExit("never free")
"""


def run_all(program: str, path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path), f"w{i}"]) for i in WRITERS
    ]
    assert [process.wait(60) for process in running] == [0] * len(running)


def test_eight_writers_of_the_config(
    start_llmtool: Callable[..., Any], env: dict[str, str]
) -> None:
    running = [
        start_llmtool("config", "set", f"aliases.a{i}", "starter", stdin=subprocess.DEVNULL)
        for i in WRITERS
    ]
    for process in running:
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (0, b"")
    settings = load_settings({}, Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml")
    assert settings.aliases == {f"a{i}": "starter" for i in WRITERS}


def test_eight_writers_of_the_chat_history(tmp_path: Path) -> None:
    run_all(REMEMBER, tmp_path / "data" / "chat_history")
    kept = list(open_history(tmp_path / "data" / "chat_history").load_history_strings())
    expected = [f"w{i} {n}\n" + "word\n" * 6000 for i in WRITERS for n in range(20)]
    assert sorted(kept) == sorted(expected)


def test_eight_writers_of_a_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    sessions.save(
        Session(name="work", folder="/", created_at="2026-11-26T10:40:18Z", model="starter")
    )
    run_all(ADD_A_TURN, sessions.folder)
    assert sorted(turn.user for turn in sessions.load("work").turns) == [f"w{i}" for i in WRITERS]


def test_history_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    history = open_history(tmp_path / "chat_history")
    (tmp_path / "chat_history").unlink()
    (tmp_path / "chat_history").mkdir()
    assert list(history.load_history_strings()) == []
