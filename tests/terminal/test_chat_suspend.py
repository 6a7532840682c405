"""Ctrl-Z suspends a chat in a shell with job control, and `fg` continues it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal.screen import Terminal
from terminal.talk import SCRIPT, Start, wait_for_prompt

from llmtool.cli.commands.chat.line_editor import EditedReader
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts

WORDS = [f"word{i}" for i in range(60)]
REPLY = "First line.\n\n" + " ".join(WORDS)

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def shell(env: dict[str, str], tmp_path: Path) -> Callable[..., Terminal]:
    """Return a function that starts a chat in an interactive shell."""

    def start(*command: str) -> Terminal:
        script = json.dumps({"replies": [REPLY, "second"], "delay": 0.01})
        (tmp_path / "go").write_text(
            f"exec {sys.executable} {SCRIPT} {tmp_path} '{script}'\n", encoding="utf-8"
        )
        variables = {**env, "TERM": "xterm-256color", "PS1": "shell$ "}
        terminal = Terminal(
            [*command] or ["bash", "--norc", "-i"], variables, lines=40, cwd=tmp_path
        )
        terminal.wait_for("shell$ ")
        terminal.send("sh go\r")
        wait_for_chat_prompt(terminal)
        return terminal

    return start


def wait_for_chat_prompt(terminal: Terminal) -> None:
    def is_shown() -> bool:
        return any(row.startswith("> ") or row == ">" for row in terminal.screen())

    terminal.wait_until(is_shown, what="prompt of the chat")


def suspend(terminal: Terminal) -> None:
    n = terminal.raw.count(b"Stopped")
    terminal.send("\x1a")
    terminal.wait_until(lambda: terminal.raw.count(b"Stopped") > n, what="Stopped")
    terminal.wait_until(lambda: terminal.raw.rstrip().endswith(b"shell$"), what="prompt of bash")
    terminal.send("stty -a | grep -o -e '-\\?echo ' | tr -d ' ' | sed 's/^/mode:/'\r")
    terminal.wait_for("mode:echo")


def test_ctrl_z_at_the_prompt_suspends_and_fg_restores_the_line(
    shell: Callable[..., Terminal],
) -> None:
    with shell() as terminal:
        terminal.send("half typed")
        terminal.wait_for("> half typed")
        suspend(terminal)
        assert "> half typed" not in terminal.screen()
        terminal.send("fg\r")
        terminal.wait_until(lambda: "> half typed" in terminal.screen(), what="line")
        terminal.send(" line\r")
        terminal.wait_for("word59")


def test_ctrl_z_in_a_reply_suspends_and_fg_shows_the_paragraph_again(
    shell: Callable[..., Terminal],
) -> None:
    with shell() as terminal:
        terminal.send("go\r")
        terminal.wait_for("word9")
        suspend(terminal)
        terminal.send("fg\r")
        shown = len(terminal.raw)
        terminal.wait_until(lambda: b"word0 word1 " in terminal.raw[shown:], what="paragraph")
        terminal.send("typed ahead")
        terminal.wait_until(lambda: "> typed ahead" in terminal.screen(), what="next prompt")
        rows = terminal.screen()
        assert any("Stopped" in row for row in rows)
        start = len(rows) - rows[::-1].index(next(r for r in rows[::-1] if r.startswith("word0 ")))
        reply = rows[start - 1 : rows.index("> typed ahead")]
        assert " ".join(reply).split() == WORDS


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs dash")
def test_ctrl_z_in_a_reply_restores_the_echo_that_dash_leaves_off(
    shell: Callable[..., Terminal],
) -> None:
    with shell("dash", "-i") as terminal:
        terminal.send("go\r")
        terminal.wait_for("word9")
        suspend(terminal)
        terminal.send("fg\r")
        terminal.wait_for("word59")


def test_ctrl_c_at_an_empty_prompt_explains_once_how_to_leave(chat: Start) -> None:
    note = b"press Ctrl-D or type /exit to leave"
    with chat() as terminal:
        wait_for_prompt(terminal)
        terminal.send("a line\x03")
        wait_for_prompt(terminal, 2)
        assert note not in terminal.raw
        for n in (3, 4):
            terminal.send("\x03")
            wait_for_prompt(terminal, n)
            assert terminal.raw.count(note) == 1
        terminal.send("a\r")
        wait_for_prompt(terminal, 5)
        terminal.send("\x03")
        wait_for_prompt(terminal, 6)
        assert terminal.raw.count(note) == 2
        terminal.send("/exit\r")
        assert terminal.exit_status == 0


def test_ctrl_c_in_a_dumb_terminal_explains_how_to_leave(chat: Start) -> None:
    with chat(variables={"TERM": "dumb"}) as terminal:
        terminal.wait_for("> ")
        terminal.send("\x03")
        terminal.wait_for("press Ctrl-D or type /exit to leave")
        terminal.send("/exit\n")
        assert terminal.exit_status == 0


def test_a_terminal_that_does_not_report_the_cursor_position_gets_no_warning() -> None:
    reader = EditedReader(
        Console(Interrupts()), history=None, complete=lambda words: (), status=lambda columns: ""
    )
    assert reader._session.app.renderer.cpr_not_supported_callback is None
