"""`llmtool gen` with all or some streams on a terminal."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, LLMTOOL
from terminal.screen import Terminal
from tiny_vocabulary import bpe_vocabulary

PROMPT = "The river rose during the night"
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="session")
def words(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("plain", printable=True)


@pytest.fixture(scope="session")
def endless(tiny_model: Callable[..., Path]) -> list[str]:
    """The arguments of a reply that runs longer than the test."""
    model = tiny_model("plain", **INFINITE, logit_scale={".\n": 1.5})
    limits = ["--max-tokens", "60000", "--ctx-size", "65536", "--threads", "1"]
    return ["gen", "Go on", "-m", str(model), *limits]


@pytest.fixture
def gen(env: dict[str, str], words: Path) -> Callable[..., Terminal]:
    """Return `gen(*args, **options)`: a short greedy reply in a terminal."""

    def start(
        *args: str | Path, variables: dict[str, str] | None = None, **options: Any
    ) -> Terminal:
        command = [*LLMTOOL, "gen", "-m", words, "--max-tokens", "40", "--temperature", "0"]
        command += ["--threads", "1", *args]
        return Terminal(command, {**env, **(variables or {})}, **options)

    return start


def shown(raw: bytes) -> str:
    """Return the output to a terminal without styles and carriage returns."""
    return ESCAPE.sub(b"", raw).replace(b"\r", b"").decode()


def test_reply_is_the_same_on_a_terminal_and_in_a_file(
    gen: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "out"
    with gen(PROMPT, stdout=file) as terminal:
        assert terminal.exit_status == 0
    with gen(PROMPT, columns=1000) as terminal:
        assert terminal.exit_status == 0
        assert len(file.read_text()) > 50
        assert file.read_text() in shown(terminal.raw)


def test_terminal_on_stdin_is_not_read_if_a_prompt_is_given(gen: Callable[..., Terminal]) -> None:
    with gen(PROMPT) as terminal:
        assert terminal.wait(15) == 0


def test_missing_prompt_on_a_terminal_is_an_error_before_loading(
    gen: Callable[..., Terminal],
) -> None:
    with gen("-m", "no-such-model") as terminal:
        assert terminal.wait(10) == 2
        text = shown(terminal.raw)
        assert text.startswith("llmtool: ") and "prompt" in text.lower()
        assert "no-such-model" not in text and "Traceback" not in text


def test_error_is_one_line_on_a_terminal(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, "gen", PROMPT, "-m", "no-such-model"], env) as terminal:
        assert terminal.exit_status == 10
        assert shown(terminal.raw).startswith("llmtool: ")
        assert shown(terminal.raw).count("\n") == 1


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_redirected_stream_gets_no_escape_sequences(
    gen: Callable[..., Terminal], tmp_path: Path, stream: str
) -> None:
    file = tmp_path / "out"
    with gen(PROMPT, "--stats", **{stream: file}) as terminal:
        assert terminal.exit_status == 0
    assert file.read_bytes() != b""
    assert b"\x1b" not in file.read_bytes()
    assert b"\r" not in file.read_bytes()


@pytest.mark.parametrize("columns", [0, 1, 20, 500])
def test_any_width_works(gen: Callable[..., Terminal], tmp_path: Path, columns: int) -> None:
    file = tmp_path / "out"
    with gen(PROMPT, stdout=file) as terminal:
        assert terminal.exit_status == 0
    with gen(PROMPT, "--stats", columns=columns, lines=1000) as terminal:
        assert terminal.exit_status == 0
        assert "".join(file.read_text().split()) in "".join("".join(terminal.screen()).split())


@pytest.mark.parametrize("columns", [0, 20])
@pytest.mark.parametrize("option", ["--help", "--version", "--bad-option"])
def test_help_works_at_any_width(env: dict[str, str], option: str, columns: int) -> None:
    with Terminal([*LLMTOOL, "gen", option], env, columns=columns) as terminal:
        assert terminal.exit_status == (2 if option in ("--bad-option", "--version") else 0)
        assert "Traceback" not in shown(terminal.raw)


COLOR: list[tuple[dict[str, str], list[str], bool]] = [
    ({}, [], True),
    ({"NO_COLOR": "1"}, [], False),
    ({"NO_COLOR": ""}, [], True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
    ({"NO_COLOR": "1"}, ["--color", "always"], True),
    ({"TERM": "dumb"}, [], False),
    ({"TERM": "dumb", "FORCE_COLOR": "1"}, [], True),
    ({"CLICOLOR": "0"}, [], False),
    ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, [], True),
    ({"FORCE_COLOR": "0"}, [], True),
    ({"LLMTOOL_COLOR": "never"}, [], False),
    ({"LLMTOOL_COLOR": "never"}, ["--color", "always"], True),
    ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
]
STYLE = re.compile(rb"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(("variables", "args", "colored"), COLOR, ids=str)
def test_colour_precedence_is_option_environment_terminal(
    env: dict[str, str], variables: dict[str, str], args: list[str], colored: bool
) -> None:
    with Terminal([*LLMTOOL, "models", "ls", *args], {**env, **variables}) as terminal:
        assert terminal.exit_status == 0
        assert bool(STYLE.search(terminal.raw)) is colored


def test_colour_follows_the_configuration(env: dict[str, str]) -> None:
    folder = Path(env["LLMTOOL_CONFIG_DIR"])
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('color = "never"\n')
    with Terminal([*LLMTOOL, "models", "ls"], env) as terminal:
        assert terminal.exit_status == 0
        assert not STYLE.search(terminal.raw)


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}], ids=str)
def test_reply_text_is_never_coloured(
    gen: Callable[..., Terminal], variables: dict[str, str]
) -> None:
    with gen(PROMPT, "--stats", variables=variables) as terminal:
        assert terminal.exit_status == 0
        assert not STYLE.search(terminal.raw)


def test_control_sequences_in_a_reply_are_escaped(
    env: dict[str, str], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    attacks = [
        *(b"\x1b]0;title\x07", b"\x1b[2J", b"\x1b[31m", b"\x1b"),  # complete and split
        *(b"]52;c;aGk=\x07", "\x9b2J".encode(), "\u202e".encode(), b"\x08\x08\x08", b"\r"),
    ]
    vocabulary = bpe_vocabulary(extra=attacks)
    loud = dict.fromkeys(attacks, 3.0)
    model = tiny_model("plain", vocabulary=vocabulary, printable=True, logit_scale=loud)
    command = [*LLMTOOL, "gen", PROMPT, "-m", model, "--max-tokens", "300", "--color", "never"]
    command += ["--temperature", "0", "--threads", "1"]
    file = tmp_path / "piped"
    with Terminal(command, env, stdout=file) as terminal:
        assert terminal.exit_status == 0
    said = file.read_bytes()
    assert sum(piece in said for piece in attacks) >= 6, "the model does not say what it should"
    with Terminal(command, env, columns=10_000) as terminal:
        assert terminal.exit_status == 0
        raw = terminal.raw.replace(b"\r\n", b"\n")
    for steering in ("\x1b", "\x07", "\x08", "\r", "\x9b", "\u202e"):
        assert steering.encode() not in raw, f"{steering!r} reached the terminal"


def test_markup_in_a_reply_is_literal(
    env: dict[str, str], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    marks = ["[red]x[/red]", " :smile:", "[link=http://a.b]", "[/]", "[bold"]
    vocabulary = bpe_vocabulary(extra=[mark.encode() for mark in marks])
    loud = dict.fromkeys(marks, 4.0)
    model = tiny_model("plain", vocabulary=vocabulary, printable=True, logit_scale=loud)
    file = tmp_path / "piped"
    for verb in (["gen", PROMPT], ["chat", PROMPT]):
        command = [*LLMTOOL, *verb, "-m", model, "--max-tokens", "60", "--temperature", "0"]
        command += ["--threads", "1"]
        with Terminal(command, env, stdout=file) as terminal:
            assert terminal.exit_status == 0
        said = file.read_text()
        assert all(mark in said for mark in marks[:3]), "the model does not say what it should"
        if verb[0] == "gen":  # a chat on a terminal is a conversation: see test_chat
            with Terminal(command, env, columns=500) as terminal:
                assert terminal.exit_status == 0
                assert said in shown(terminal.raw)


def test_control_sequences_in_an_error_are_escaped(gen: Callable[..., Terminal]) -> None:
    with gen(PROMPT, "-m", "\x1b]0;title\x07\x1b[2Jname", "--color", "never") as terminal:
        assert terminal.exit_status == 10
        assert b"\x1b" not in terminal.raw and b"\x07" not in terminal.raw
        assert "name" in shown(terminal.raw)


def test_control_c_stops_a_reply(env: dict[str, str], endless: list[str]) -> None:
    with Terminal([*LLMTOOL, *endless], env) as terminal:
        terminal.wait_for(".")
        begin = time.monotonic()
        terminal.send("\x03")
        assert terminal.exit_status == 130
        assert time.monotonic() - begin < 1
        assert "Traceback" not in shown(terminal.raw)


def test_control_c_stops_a_loop(env: dict[str, str], endless: list[str]) -> None:
    loop = 'for i in 1 2 3; do "$@"; echo "after $i"; done'
    with Terminal(["bash", "-c", loop, "bash", *LLMTOOL, *endless], env) as terminal:
        terminal.wait_for(".")
        terminal.send("\x03")
        assert terminal.exit_status == 130
        assert "after 1" not in shown(terminal.raw)


def test_closing_the_terminal_ends_the_command(env: dict[str, str], endless: list[str]) -> None:
    with Terminal([*LLMTOOL, *endless], env) as terminal:
        terminal.wait_for(".")
        assert terminal.hang_up() == 129


def test_sighup_ends_the_command(env: dict[str, str], endless: list[str]) -> None:
    with Terminal([*LLMTOOL, *endless], env) as terminal:
        terminal.wait_for(".")
        terminal.signal(signal.SIGHUP)
        assert terminal.exit_status == 129


def test_control_z_suspends_and_fg_continues(env: dict[str, str], endless: list[str]) -> None:
    shell = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
    command = " ".join(f"'{word}'" for word in [*LLMTOOL, *endless])
    with Terminal(shell, {**env, "PS1": "ready> ", "HISTFILE": ""}) as terminal:
        terminal.wait_for("ready> ")
        terminal.send(f"{command}\r")
        terminal.wait_for(".\r\n")
        terminal.send("\x1a")
        terminal.wait_for("Stopped")
        terminal.send("echo before=$(($? + 0))\r")
        terminal.wait_for("before=148")  # 128 + SIGTSTP
        written = len(terminal.raw)
        terminal.send("fg\r")
        terminal.wait_until(lambda: len(terminal.raw) > written + 1000)
        terminal.send("\x03")
        terminal.send("echo after=$?\r")
        terminal.wait_for("after=130")


def test_a_resize_during_a_reply_changes_nothing(env: dict[str, str], endless: list[str]) -> None:
    with Terminal([*LLMTOOL, *endless], env) as terminal:
        terminal.wait_for(".")
        for columns, lines in [(20, 5), (132, 50), (1, 1), (80, 24)]:
            terminal.resize(columns=columns, lines=lines)
            written = len(terminal.raw)
            terminal.wait_until(lambda seen=written: len(terminal.raw) > seen + 200)
        terminal.send("\x03")
        assert terminal.exit_status == 130
        assert "Traceback" not in shown(terminal.raw)


def test_dash_reads_typed_text(gen: Callable[..., Terminal]) -> None:
    with gen("-", "--dry-run") as terminal:
        terminal.send("typed by hand\r\x04")
        assert terminal.exit_status == 0
        assert shown(terminal.raw).count("typed by hand") == 2  # the echo and the prompt


def test_stdin_from_a_file_with_other_streams_on_a_terminal(
    gen: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "input.txt"
    file.write_text("text of the file")
    with gen("Summarise", "--dry-run", stdin=file) as terminal:
        assert terminal.exit_status == 0
        assert "text of the file" in shown(terminal.raw)
