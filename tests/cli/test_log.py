"""The log of replies of `gen` and `run`, which can be disabled."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, error_line, logged_turns, read_exactly

from llmtool.sessions.store import Sessions

Run = Callable[..., Any]
LABELS = """\
llmtool: 1
name: mood
description: Says the mood.
task: classify
inputs: {text: {type: text}}
prompt: "Mood of: {{ text }}"
output: {labels: [good, bad]}
"""


@pytest.mark.parametrize(
    ("args", "given"),
    [
        (["--no-log"], {}),
        (["--no-log"], {"LLMTOOL_LOG": "true"}),
        (["--log", "--dry-run"], {}),
        ([], {"LLMTOOL_LOG": "0"}),
        (["--each", "line"], {"LLMTOOL_LOG": "1"}),
    ],
    ids=["--no-log", "--no-log, LLMTOOL_LOG", "dry run", "LLMTOOL_LOG=0", "batch"],
)
def test_nothing_is_logged_on_request_and_in_a_batch(
    gen: Run, sessions: Sessions, args: list[str], given: dict[str, str]
) -> None:
    assert gen("The river", *args, input=b"and the hill\n", env=given).returncode == 0
    assert not sessions.folder.exists()


def test_log_saves_prompt_and_reply(gen: Run, sessions: Sessions) -> None:
    result = gen("The river", "--log", "--seed", "7", "--json", input=b"and the hill")
    said = json.loads(result.stdout)
    (turn,) = logged_turns(sessions)
    assert (turn.user, turn.text) == ("The river", said["text"])
    assert turn.sent == 'The river\n\n"""\nand the hill\n"""'
    assert [(file.name, file.text) for file in turn.files] == [("standard input", "and the hill")]
    assert (turn.model, turn.seed, turn.finish_reason) == (said["model"], 7, said["finish_reason"])
    assert turn.prompt_tokens == said["usage"]["prompt_tokens"]
    assert turn.completion_tokens == said["usage"]["completion_tokens"] > 0
    assert turn.seconds > 0 and turn.created_at
    assert stat.S_IMODE(sessions.path(sessions.names()[0]).stat().st_mode) == 0o600


def test_log_appends_replies(gen: Run, sessions: Sessions, tmp_path: Path) -> None:
    plain = gen("The river", "--no-stdin", "--no-log")
    logged = gen("The river", "--no-stdin", env={"LLMTOOL_LOG": "yes"})
    assert (logged.stdout, logged.stderr) == (plain.stdout, plain.stderr)
    (tmp_path / "hill.txt").write_text("the hill")
    gen("-f", tmp_path / "hill.txt", "--log")
    gen("Describe it", "-f", tmp_path / "hill.txt", "-n", "2", "--log", "--no-stdin")
    kept = logged_turns(sessions)
    assert [turn.user for turn in kept] == ["The river", "the hill", "Describe it", "Describe it"]
    assert [len(turn.files) for turn in kept] == [0, 0, 1, 1]
    assert kept[2].files[0].name == str(tmp_path / "hill.txt")
    assert kept[0].text == plain.stdout.decode().removesuffix("\n")
    assert kept[2].completion_tokens > 0 == kept[3].completion_tokens


def test_input_of_several_replies_is_logged_once(
    gen: Run, run_llmtool: Run, sessions: Sessions, cwd: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (cwd / name).write_text("the hill " * 100)
    assert gen("Compare", "a.txt", "b.txt", "-n", "5", "--no-stdin").returncode == 0
    content = sessions.path(sessions.names()[0]).read_text()
    assert content.count("the hill") == 200
    shown = json.loads(run_llmtool("logs", "-n", "0", "--json").stdout)
    assert [turn["user"] for turn in shown] == ["Compare"] * 5
    assert all(turn["files"][0]["text"].count("the hill") == 200 for turn in shown)
    prompt = run_llmtool("gen", "-c", "Why?", "--no-stdin", "--dry-run").stdout.decode()
    assert prompt.count("the hill") == 200


def test_run_logs_the_rendered_prompt_and_the_label(
    run_llmtool: Run, tiny: Path, sessions: Sessions, tmp_path: Path
) -> None:
    (tmp_path / "mood.yaml").write_text(LABELS)
    args = ("run", tmp_path / "mood.yaml", "The river", "-m", tiny, "--no-stdin", "--log")
    label = run_llmtool(*args, "--json")
    assert label.returncode == 0, label.stderr
    (turn,) = logged_turns(sessions)
    assert turn.text == json.loads(label.stdout)["label"]
    assert (turn.user, turn.sent) == ("The river", "Mood of: The river")


def test_invalid_reply_is_logged(gen: Run, sessions: Sessions) -> None:
    result = gen("The river", "--schema", "name, year int", "--max-tokens", "2", "--log")
    assert result.returncode == 17
    (turn,) = logged_turns(sessions)
    assert turn.finish_reason == "length" and turn.completion_tokens == 2


def test_batch_cannot_be_logged(gen: Run) -> None:
    assert "--each" in error_line(gen("--each", "line", "--log", input=b"a\n"), 2)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupted_reply_is_logged_partially(
    start_llmtool: Run, tiny_model: Callable[..., Path], sessions: Sessions
) -> None:
    process = start_llmtool(
        *("gen", "Go on", "-m", tiny_model("plain", **INFINITE), "--max-tokens", "60000"),
        *("--threads", "1", "--ctx-size", "65536", "--log"),
        stdin=subprocess.DEVNULL,
    )
    begin = read_exactly(process.stdout.fileno(), 10)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == -signal.SIGINT
    (turn,) = logged_turns(sessions)
    assert turn.finish_reason == "interrupted"
    shown = (begin + rest).decode().removesuffix("\n")
    assert turn.text.startswith(shown)  # the last token may not have been printed


@pytest.mark.parametrize("what", ["folder", "newer"])
def test_failing_log_does_not_lose_the_reply(
    gen: Run, sessions: Sessions, env: dict[str, str], what: str
) -> None:
    plain = gen("The river", "--no-stdin", "--log")
    if what == "folder":  # a file instead of the folder
        env["LLMTOOL_DATA_DIR"] = str(sessions.path(sessions.names()[0]))
    else:
        sessions.path(sessions.names()[0]).write_bytes(b'{"name": "log", "version": 9}')
    result = gen("The river", "--no-stdin", "--log", "--quiet")
    assert (result.returncode, result.stdout) == (0, plain.stdout)
    assert result.stderr.startswith(b"llmtool: cannot log the reply: ")
    assert result.stderr.count(b"\n") == 1
    unasked = gen("The river", "--no-stdin")
    assert (unasked.returncode, unasked.stdout) == (0, plain.stdout)
    if what == "folder":  # as in a container without a home folder
        assert b"log" not in unasked.stderr
        assert "cannot write" in error_line(gen("-c", "Well", "--no-stdin"), 1)
    else:
        assert b"(LLMTOOL_LOG=0 disables the log)" in unasked.stderr
    assert gen("The river", "--no-stdin", "--quiet").stderr == b""


def test_log_setting_is_in_the_config(run_llmtool: Run, gen: Run, sessions: Sessions) -> None:
    gen("The river", "--no-stdin")
    assert run_llmtool("config", "set", "log", "false").returncode == 0
    assert b"log\tfalse" in run_llmtool("config", "show").stdout
    gen("The lake", "--no-stdin")
    assert [turn.user for turn in logged_turns(sessions)] == ["The river"]
    assert (
        b"log 'maybe': must be true or false" in run_llmtool("config", "set", "log", "maybe").stderr
    )


def test_logged_reply_is_found_by_search(
    run_llmtool: Run, starter: Path, sessions: Sessions
) -> None:
    question = "What is the capital of France? Answer in one short sentence."
    args = ("-m", starter, "--temperature", "0", "--max-tokens", "24", "--no-stdin", "--log")
    said = run_llmtool("gen", question, *args).stdout.decode().strip()
    assert "Paris" in said
    found = json.loads(run_llmtool("sessions", "search", "paris", "--json").stdout)
    (hit,) = [hit for hit in found["hits"] if hit["role"] == "assistant"]
    assert hit["session"] == sessions.names()[0] and hit["snippet"] == " ".join(said.split())


def test_damaged_log_is_repaired_and_reported(gen: Run, sessions: Sessions) -> None:
    gen("The river", "--no-stdin", "--log")
    path = sessions.path(sessions.names()[0])
    path.write_bytes(path.read_bytes() + b"{")
    result = gen("The lake", "--no-stdin", "--log")
    assert result.returncode == 0
    assert b"line 3: damaged: ends too early; recovered 1 turn, 1 lost" in result.stderr
    assert [turn.user for turn in logged_turns(sessions)] == ["The river", "The lake"]
