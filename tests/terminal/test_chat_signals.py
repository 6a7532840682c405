"""Signals to `llmtool chat`: at the prompt, during a reply, during loading."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LLMTOOL, linux
from terminal.screen import Terminal
from terminal.talk import LONG, PASTE_OFF, PASTE_ON, Start, count_prompts, say, wait_for_prompt

from llmtool.sessions.store import Sessions

ENDINGS = [signal.SIGTERM, signal.SIGHUP]


def assert_ended(terminal: Terminal, number: signal.Signals) -> None:
    begin = time.monotonic()
    assert terminal.wait(10) == 128 + number
    assert time.monotonic() - begin < 3
    assert b"Traceback" not in terminal.raw and b"rror" not in terminal.raw
    assert terminal.raw.rfind(PASTE_OFF) >= terminal.raw.rfind(PASTE_ON), (
        "the terminal is as it was"
    )


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_at_the_prompt_ends_the_process_and_the_session_is_saved(
    chat: Start, sessions: Sessions, number: signal.Signals
) -> None:
    with chat(["one", "two"]) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "a", "one", 2)
        terminal.send("half typed")
        terminal.wait_for("half typed")
        terminal.signal(number)
        assert_ended(terminal, number)
    assert [(turn.user, turn.text) for turn in sessions.load("work").turns] == [("a", "one")]


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_in_a_reply_ends_the_process_and_the_text_so_far_is_saved(
    chat: Start, sessions: Sessions, number: signal.Signals
) -> None:
    with chat(["one", LONG], delay=0.02) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "a", "one", 2)
        terminal.send("b\r")
        terminal.wait_for("word5")
        terminal.signal(number)
        assert_ended(terminal, number)
    first, last = sessions.load("work").turns
    assert (first.text, last.user, last.finish_reason) == ("one", "b", "interrupted")
    assert last.text.startswith("word0 word1 word2")


def test_an_interrupt_at_the_prompt_discards_only_the_line(chat: Start, sessions: Sessions) -> None:
    with chat(["one", "two"]) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "a", "one", 2)
        terminal.send("half typed")
        terminal.wait_for("half typed")
        terminal.signal(signal.SIGINT)
        wait_for_prompt(terminal, 3)
        say(terminal, "b", "two", 4)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert [turn.user for turn in sessions.load("work").turns] == ["a", "b"]


def test_an_interrupt_in_a_reply_stops_only_the_reply(chat: Start, sessions: Sessions) -> None:
    with chat([LONG, "two"], delay=0.02) as terminal:
        wait_for_prompt(terminal)
        terminal.send("a\r")
        terminal.wait_for("word5")
        terminal.signal(signal.SIGINT)
        wait_for_prompt(terminal, 2)
        say(terminal, "b", "two", 3)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert [turn.finish_reason for turn in sessions.load("work").turns] == ["interrupted", "stop"]


def wait_until_loading(terminal: Terminal, model: Path) -> None:
    limit = time.monotonic() + 30
    while model.name not in Path(f"/proc/{terminal.pid}/maps").read_text():
        assert time.monotonic() < limit
        time.sleep(0.001)


@linux
@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_during_loading_ends_the_process(
    env: dict[str, str], tiny_model: Callable[..., Path], number: signal.Signals
) -> None:
    deep = tiny_model("plain", n_layer=400, n_embd=32)
    with Terminal([*LLMTOOL, "chat", "-m", deep], env) as terminal:
        wait_until_loading(terminal, deep)
        terminal.signal(number)
        assert_ended(terminal, number)


@linux
@pytest.mark.parametrize(
    "delay",
    [0, 0.025, None, *(pytest.param(delay, marks=pytest.mark.long) for delay in (0.01, 0.05))],
)
def test_an_interrupt_during_loading_does_not_end_the_chat(
    env: dict[str, str], tiny_model: Callable[..., Path], delay: float | None
) -> None:
    deep = tiny_model("plain", n_layer=150, n_embd=32, printable=True)
    args = ["-m", deep, "--max-tokens", "3", "--temperature", "0", "--threads", "1"]
    with Terminal([*LLMTOOL, "chat", *args, "--session", "work"], env) as terminal:
        wait_until_loading(terminal, deep)
        if delay is None:
            wait_for_prompt(terminal)
        else:  # before the prompt appears
            time.sleep(delay)
        seen = count_prompts(terminal)
        terminal.signal(signal.SIGINT)
        wait_for_prompt(terminal, seen + 1)
        time.sleep(0.3)  # wait until the signal has arrived, which may print another prompt
        seen = count_prompts(terminal)
        terminal.send("hello\r")
        terminal.wait_for("truncated at 3 tokens")
        wait_for_prompt(terminal, seen + 1)
        assert "stopped" not in terminal.raw.decode()
        terminal.send("\x04")
        assert terminal.exit_status == 0
    (turn,) = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions")).load("work").turns
    assert (turn.user, turn.finish_reason) == ("hello", "length")
