"""Tests of the terminal fixture."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from terminal.screen import Terminal

ISATTY = "import os, sys; os.write(3, repr([os.isatty(fd) for fd in (0, 1, 2)]).encode())"


def test_rows_wrap_at_the_terminal_width(env: dict[str, str]) -> None:
    with Terminal(["printf", "abcdefghij"], env, columns=4) as terminal:
        assert terminal.exit_status == 0
        assert terminal.screen()[:4] == ["abcd", "efgh", "ij", ""]


def test_escape_sequences_affect_the_screen_and_remain_in_raw(env: dict[str, str]) -> None:
    with Terminal(["printf", r"one\rt\033[31mwo"], env) as terminal:
        terminal.wait_for("two")
        assert b"\x1b[31m" in terminal.raw


def test_keys_reach_the_command(env: dict[str, str]) -> None:
    with Terminal(["sh", "-c", "read line; echo got $line"], env) as terminal:
        terminal.send("hello\r")
        terminal.wait_for("got hello")
        assert terminal.exit_status == 0


def test_control_c_is_an_interrupt(env: dict[str, str]) -> None:
    with Terminal(["sh", "-c", "echo ready; exec sleep 30"], env) as terminal:
        terminal.wait_for("ready")
        terminal.send("\x03")
        assert terminal.exit_status == 130


def test_a_signal_ends_the_command(env: dict[str, str]) -> None:
    with Terminal(["sleep", "30"], env) as terminal:
        terminal.signal(signal.SIGTERM)
        assert terminal.exit_status == 143


def test_missing_text_fails_with_the_screen(env: dict[str, str]) -> None:
    with Terminal(["echo", "something"], env) as terminal:
        with pytest.raises(AssertionError, match="something"):
            terminal.wait_for("nothing", timeout=0.2)


@pytest.mark.parametrize("name", ["none", "stdin", "stdout", "stderr"])
def test_redirected_stream_is_not_a_terminal(
    env: dict[str, str], tmp_path: Path, name: str
) -> None:
    file = tmp_path / "stream"
    file.touch()
    seen = tmp_path / "seen"
    script = ["sh", "-c", f"exec '{sys.executable}' -c \"$0\" 3>'{seen}'", ISATTY]
    redirection = {} if name == "none" else {name: file}
    with Terminal(script, env, **redirection) as terminal:
        assert terminal.exit_status == 0
    expected = [stream != name for stream in ("stdin", "stdout", "stderr")]
    assert seen.read_text() == repr(expected)


def test_command_receives_the_resize(env: dict[str, str]) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
    with Terminal(["sh", "-c", script], env) as terminal:
        terminal.wait_for("ready")
        terminal.resize(columns=50, lines=10)
        terminal.wait_for("10 50")
