"""`llmtool chat` in pipes and scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, error_line, linux, read_exactly

from llmtool.errors import OutputError
from llmtool.sessions.store import Sessions

SYSTEM = "Be brief and kind, and say where what you know comes from, in a few words. " * 2
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="session")
def words(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("plain", printable=True)


@pytest.fixture
def chat(run_llmtool: Run, words: Path) -> Run:
    """Return `chat(*args, input=…)`: greedy replies of a few tokens."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        fixed = ["-m", words, "--max-tokens", "6", "--temperature", "0", "--threads", "1"]
        return run_llmtool("chat", *fixed, *args, **options)

    return run


def test_piped_text_is_one_message(chat: Run, sessions: Sessions) -> None:
    result = chat("-q", input=b"Hello\nthere\n")
    assert result.returncode == 0
    assert result.stdout.endswith(b"\n") and b"\x1b" not in result.stdout
    assert result.stderr == b"" or b"truncated at 6 tokens" in result.stderr
    assert sessions.names() == []  # nothing is saved by default


def test_each_line_is_a_turn_of_one_conversation(chat: Run, sessions: Sessions) -> None:
    result = chat("--each", "line", "--session", "s", input=b"one\n\ntwo\r\nthree")
    assert result.returncode == 0
    turns = sessions.load("s").turns
    assert [turn.user for turn in turns] == ["one", "two", "three"]
    assert result.stdout.decode() == "".join(turn.text + "\n" for turn in turns)
    assert [turn.cached_tokens > 0 for turn in turns] == [False, True, True]


def test_base_model_is_noted_once(chat: Run, tiny_base: Path) -> None:
    result = chat("--each", "line", "-m", tiny_base, input=b"one\ntwo\n")
    assert result.returncode == 0 and len(result.stdout.splitlines()) >= 2
    assert result.stderr.count(b"use an instruction-tuned model") == 1


def test_line_is_answered_before_the_next_one_arrives(
    start_llmtool: Callable[..., Any], words: Path
) -> None:
    process = start_llmtool("chat", "--each", "line", "-m", words, "--max-tokens", "6")
    for text in (b"one\n", b"two\n"):
        process.stdin.write(text)
        process.stdin.flush()
        read_exactly(process.stdout.fileno(), 1)
    process.stdin.close()
    assert process.wait(30) == 0


def test_json_prints_one_event_per_line(chat: Run) -> None:
    events = [json.loads(line) for line in chat("--json", input=b"Hi").stdout.splitlines()]
    *tokens, turn = events
    assert {event["event"] for event in tokens} == {"token"}
    assert turn["event"] == "turn"
    assert turn["text"] == "".join(event["text"] for event in tokens)
    assert (turn["user"], turn["finish_reason"], turn["completion_tokens"]) == ("Hi", "length", 6)


def test_argument_is_combined_with_standard_input(chat: Run, sessions: Sessions) -> None:
    chat("What is it?", "--session", "s", input=b"Boats.\n")
    (turn,) = sessions.load("s").turns
    assert (turn.user, turn.files[0].name, turn.files[0].text) == (
        "What is it?",
        "standard input",
        "Boats.\n",
    )


def test_files_are_sent_with_the_first_message(
    chat: Run, sessions: Sessions, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>Boats are <b>red</b>.</p>")
    chat("--session", "s", "--each", "line", "-f", page, input=b"a\nb\n")
    first, second = sessions.load("s").turns
    assert "Boats are red." in first.files[0].text
    assert second.files == ()


def test_session_resumes_by_name_and_by_directory(
    chat: Run, sessions: Sessions, tmp_path: Path
) -> None:
    assert chat("a", "--session", "s", "-s", SYSTEM).returncode == 0
    assert chat("b", "--session", "s").returncode == 0
    assert chat("c", "-c").returncode == 0
    session = sessions.load("s")
    assert [turn.user for turn in session.turns] == ["a", "b", "c"]
    assert session.system == SYSTEM
    assert session.turns[1].cached_tokens > 20  # from the state on disk
    (tmp_path / "elsewhere").mkdir()
    result = chat("d", "-c", cwd=tmp_path / "elsewhere")
    assert "no session to continue in this directory" in error_line(result, 2)


@pytest.mark.parametrize("flags", [("--session", "s"), ("-c",)], ids=["name", "continue"])
def test_damaged_session_is_continued_and_its_original_preserved(
    chat: Run, sessions: Sessions, flags: tuple[str, ...]
) -> None:
    chat("a", "--session", "s", "-s", "Be brief.")
    path = sessions.path("s")
    damaged = path.read_bytes().replace(b"brief", b"br\xedef") + b'{"user": "b", "repl'
    path.write_bytes(damaged)
    result = chat("c", *flags)
    assert result.returncode == 0
    assert result.stderr.decode().splitlines()[0] == (
        f"llmtool: {path}, line 1: not a llmtool session: not UTF-8; recovered 1 turn, 1 lost; "
        "the original is saved as s.jsonl.damaged"
    )
    session = sessions.load("s")
    assert [turn.user for turn in session.turns] == ["a", "c"]
    assert session.system == "Be br\ufffdef."
    assert Path(f"{path}.damaged").read_bytes() == damaged
    assert b"damaged" not in chat("d", *flags).stderr


def test_session_resumes_with_its_own_model(run_llmtool: Run, chat: Run) -> None:
    chat("a", "--session", "s")
    result = run_llmtool("chat", "b", "--session", "s", "--max-tokens", "2", "--json")
    assert json.loads(result.stdout.splitlines()[-1])["model"] == "tiny-plain.gguf"


@pytest.mark.parametrize(
    ("args", "stdin", "code", "said"),
    [
        ([], b"", 14, "empty"),
        ([], b" \n", 14, "empty"),
        ([], b"a\xff", 14, "not UTF-8"),
        (["--no-stdin"], b"", 2, "no message; pass MESSAGE"),
        (["--session", "../x"], b"a", 2, "is not a valid session name"),
        (["--session", "s", "-c"], b"a", 2, "cannot be combined"),
        (["-c"], b"a", 2, "no session to continue"),
        (["-t", "nonesuch"], b"a", 12, "nonesuch"),
        (["-f", "none.txt"], b"a", 14, "none.txt: no such file"),
        (["--temperature", "7x"], b"a", 2, "7x"),
        (["--overflow", "cut"], b"a", 2, "overflow"),
        (["--max-tokens", "100000000"], b"a", 13, "100,000,000"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_are_one_line_with_the_exit_code(
    chat: Run, args: list[str], stdin: bytes, code: int, said: str
) -> None:
    result = chat(*args, input=stdin)
    assert said in error_line(result, code)


def test_each_line_needs_a_pipe(env: dict[str, str], tmp_path: Path) -> None:
    from command import LLMTOOL
    from terminal.screen import Terminal

    with Terminal([*LLMTOOL, "chat", "--each", "line"], env, cwd=tmp_path) as terminal:
        assert terminal.exit_status == 2
        assert "--each line needs piped input" in "\n".join(terminal.screen())


def test_session_open_in_another_process_is_an_error(chat: Run, sessions: Sessions) -> None:
    with sessions.lock("s"):
        assert "open in another process" in error_line(chat("a", "--session", "s"), 18)


@linux
def test_full_disk_is_an_error(chat: Run) -> None:
    with open("/dev/full", "wb") as full:
        result = chat("a", stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert b"cannot write to standard output" in result.stderr


@pytest.fixture
def talking(
    start_llmtool: Callable[..., Any], tiny_model: Callable[..., Path]
) -> Callable[..., Any]:
    """Return `start(*args)`: a chat during an endless reply."""

    def start(*args: str) -> Any:
        process = start_llmtool(
            *("chat", "Go on", "-m", tiny_model("plain", **INFINITE), "--max-tokens", "60000"),
            *("--ctx-size", "65536", "--threads", "1", *args),
            stdin=subprocess.DEVNULL,
        )
        read_exactly(process.stdout.fileno(), 10)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_process_and_saves_the_partial_reply(
    talking: Callable[..., Any], sessions: Sessions, number: signal.Signals
) -> None:
    process = talking("--session", "s")
    process.send_signal(number)
    process.stdout.read()
    assert process.wait(10) == -number
    (turn,) = sessions.load("s").turns
    assert turn.finish_reason == "interrupted"
    assert len(turn.text) >= 9


def test_closed_pipe_ends_the_process(talking: Callable[..., Any], sessions: Sessions) -> None:
    process = talking("--session", "s")
    process.stdout.close()
    assert process.wait(10) == -signal.SIGPIPE
    assert sessions.load("s").turns[0].text


def test_secrets_from_the_environment_are_not_saved(chat: Run, env: dict[str, str]) -> None:
    chat("a", "--session", "s", env={"HF_TOKEN": "hf_secret"})
    for folder, _, names in os.walk(env["HOME"]):
        for name in names:
            assert b"hf_secret" not in Path(folder, name).read_bytes()


def test_unsaved_conversation_is_an_error(chat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OutputError("cannot write a.jsonl: no space left on device")

    monkeypatch.setattr(Sessions, "save", fail)
    done = chat("--session", "a", "-q", input=b"Hello")
    reason = b"the conversation is not saved: cannot write a.jsonl: no space left on device\n"
    assert done.returncode == 1 and done.stdout and done.stderr.endswith(reason)
