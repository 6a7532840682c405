"""stdout contains only the reply; closed and full streams."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, LLMTOOL, error_line, linux, read_exactly, seconds_to_end

PROMPT = "The river rose during the night"
Run = Callable[..., subprocess.CompletedProcess[bytes]]
SHELL = ("bash", "-c")


@pytest.fixture
def shell(gen: Run, env: dict[str, str], tiny: Path, tmp_path: Path) -> Run:
    """Return `run(line, *args)`: run a bash line in which "$@" is a short `gen` command."""

    def run(line: str, *args: str | Path) -> subprocess.CompletedProcess[bytes]:
        command = [*LLMTOOL, "gen", "-m", str(tiny), "--temperature", "0", "--threads", "1"]
        command += ["--max-tokens", "12", PROMPT, *map(str, args)]
        return subprocess.run(
            [*SHELL, line, "bash", *command],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tmp_path,
            timeout=60,
        )

    return run


def test_reply_ends_with_one_newline(gen: Run, tiny_model: Callable[..., Path]) -> None:
    words = tiny_model("plain", printable=True)
    reply = gen(PROMPT, "-m", words)
    whole = json.loads(gen(PROMPT, "-m", words, "--json").stdout)
    assert reply.returncode == 0
    assert len(whole["text"]) > 12
    assert reply.stdout == whole["text"].encode() + b"\n"


@pytest.mark.parametrize("kind", ["plain", "spm", "base", "swa", "recurrent", "hybrid"])
def test_streamed_reply_equals_the_complete_one(
    gen: Run, tiny_model: Callable[..., Path], kind: str
) -> None:
    model = tiny_model(kind)
    args = [PROMPT, "-m", model, "--max-tokens", "300"]
    streamed = gen(*args)
    assert streamed.returncode == 0, streamed.stderr
    assert len(streamed.stdout) > 300
    assert streamed.stdout == gen(*args, "--no-stream").stdout
    streamed.stdout.decode("utf-8", "strict")


LEADS = [bytes([byte]) for byte in range(0xC2, 0xF5)]  # lead bytes of incomplete characters


@pytest.mark.parametrize("args", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_incomplete_characters_are_replaced_and_counted(
    gen: Run, tiny_model: Callable[..., Path], args: list[str]
) -> None:
    model = tiny_model("plain", printable=True, logit_scale=dict.fromkeys(LEADS, 50.0))
    done = gen(PROMPT, "-m", model, "--max-tokens", "5", *args)
    assert (done.returncode, done.stdout.decode()) == (0, "\ufffd" * 5 + "\n")


def test_same_command_gives_the_same_bytes(gen: Run) -> None:
    first, second = (gen(PROMPT, "--temperature", "1", "--seed", "7") for _ in range(2))
    other = gen(PROMPT, "--temperature", "1", "--seed", "8")
    assert first.returncode == 0
    assert first.stdout == second.stdout != other.stdout


def test_closed_pipe_ends_the_command_by_sigpipe(
    start_llmtool: Callable[..., Any], tiny_model: Callable[..., Path]
) -> None:
    process = start_llmtool(
        *("gen", PROMPT, "-m", tiny_model("plain", **INFINITE)),
        *("--max-tokens", "60000", "--ctx-size", "65536", "--threads", "1"),
        stdin=subprocess.DEVNULL,
    )
    read_exactly(process.stdout.fileno(), 1)
    process.stdout.close()
    assert seconds_to_end(process) < 5
    assert process.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE)
    assert process.stderr.read() == b""


@pytest.mark.parametrize("how", [[], ["--no-stream"], ["--json"]], ids=["stream", "whole", "json"])
def test_pipe_without_a_reader_is_sigpipe(
    start_llmtool: Callable[..., Any], tiny: Path, how: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start_llmtool(
        *("gen", PROMPT, "-m", tiny, "--max-tokens", "4", "--threads", "1", *how),
        stdin=subprocess.DEVNULL,
        stdout=writer,
    )
    os.close(writer)
    process.wait(30)
    assert process.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE)
    assert process.stderr.read() == b""


def test_processes_that_share_a_pipe_do_not_interleave_within_lines(
    run_llmtool: Run, start_llmtool: Callable[..., Any], tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", printable=True, logit_scale={".\n": 1.2})
    options = ["-m", str(model), "--max-tokens", "150", "--threads", "1", "--seed", "1", "-q"]
    prompts = ["a", "b", "c"]
    command = ["gen", "--no-stdin", *options]
    expected: list[bytes] = []
    for prompt in prompts:
        expected += run_llmtool(*command, prompt).stdout.splitlines()
    reader, writer = os.pipe()
    processes = [start_llmtool(*command, p, stdout=writer) for p in prompts]
    os.close(writer)
    with open(reader, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(lines) == sorted(expected) and len(lines) > 5


def test_head_1_prints_no_error(shell: Run, tiny_model: Callable[..., Path]) -> None:
    lines = tiny_model("plain", **INFINITE, logit_scale={".\n": 1.5, ",\n": 1.5})
    result = shell(
        '"$@" | head -1; echo "status ${PIPESTATUS[0]}"',
        *("-m", lines, "--max-tokens", "60000", "--ctx-size", "65536"),
    )
    first, status = result.stdout.splitlines()
    assert first
    assert status == b"status 141"
    assert result.stderr == b""


@pytest.mark.parametrize("how", [[], ["--no-stream"], ["--json"], ["--dry-run"]])
@pytest.mark.parametrize("where", [pytest.param(">/dev/full", marks=linux), ">&-"])
def test_unwritable_stdout_is_a_write_error(shell: Run, where: str, how: list[str]) -> None:
    result = shell(f'"$@" {where}', *how)
    result.args = []  # no object can be written with --json
    assert "cannot write to standard output: " in error_line(result, 1)


@pytest.mark.parametrize("option", ["--version", "--help", "gen --help"])
@pytest.mark.parametrize("where", [pytest.param(">/dev/full", marks=linux), ">&-"])
def test_unwritable_help_is_a_write_error(env: dict[str, str], option: str, where: str) -> None:
    line = f'"$@" {option} {where}'
    result = subprocess.run([*SHELL, line, "bash", *LLMTOOL], env=env, capture_output=True)
    assert "cannot write to standard output: " in error_line(result, 1)


@pytest.mark.parametrize("option", ["--version", "--help", "gen --help"])
def test_help_into_a_closed_pipe_is_sigpipe(env: dict[str, str], option: str) -> None:
    line = f'{{ sleep 0.05; "$@" {option}; echo "status $?" >&2; }} | :'
    result = subprocess.run([*SHELL, line, "bash", *LLMTOOL], env=env, capture_output=True)
    assert result.stderr == b"status 141\n"


@pytest.mark.parametrize("where", ["2>&-", pytest.param("2>/dev/full", marks=linux), "2>/dev/null"])
def test_closed_stderr_does_not_change_stdout(shell: Run, where: str) -> None:
    expected = shell('"$@"')
    assert expected.stdout.count(b"\n") >= 1
    result = shell(f'"$@" {where}', "--stats")
    assert (result.returncode, result.stdout) == (0, expected.stdout)


@pytest.mark.parametrize("where", ["2>&-", pytest.param("2>/dev/full", marks=linux)])
def test_closed_stderr_does_not_change_the_exit_code(shell: Run, where: str) -> None:
    assert shell(f'"$@" {where}', "-m", "no-such-model").returncode == 10


def test_all_standard_streams_can_be_closed(shell: Run) -> None:
    assert shell('"$@" <&- >&- 2>&-').returncode == 1
    assert shell('"$@" <&- >&- 2>&-', "-m", "no-such-model").returncode == 10


def test_pipe_gets_no_escape_sequences(gen: Run, tiny_model: Callable[..., Path]) -> None:
    words = tiny_model("plain", printable=True)
    good = gen(PROMPT, "-m", words, "--stats")
    bad = gen(PROMPT, "-m", "no-such-model")
    assert b"\x1b" not in good.stdout + good.stderr + bad.stderr
    assert good.stderr != b""


def test_control_bytes_pass_a_pipe_unchanged(gen: Run, tiny_model: Callable[..., Path]) -> None:
    reply = gen(PROMPT, "-m", tiny_model("plain", printable=True, logit_scale={"\x1b": 30.0}))
    assert b"\x1b" in reply.stdout


def test_reply_is_written_to_a_file_with_o(gen: Run, tmp_path: Path) -> None:
    file = tmp_path / "reply.txt"
    expected = gen(PROMPT).stdout
    result = gen(PROMPT, "-o", file)
    assert (result.returncode, result.stdout) == (0, b"")
    assert file.read_bytes() == expected


def test_output_file_contains_only_the_reply(shell: Run, tmp_path: Path) -> None:
    file = tmp_path / "reply.txt"
    expected = shell('"$@"').stdout
    assert shell('"$@" <&- >&- 2>&-', "-o", file, "--stats").returncode == 0
    assert file.read_bytes() == expected != b""


def test_dev_stdout_appends_like_the_shell(shell: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    expected = shell('"$@"').stdout
    assert shell('"$@" >>log', "-o", "/dev/stdout").returncode == 0
    assert log.read_bytes() == b"before\n" + expected


@linux
def test_slow_reader_of_a_nonblocking_pipe_gets_the_whole_reply(
    start_llmtool: Callable[..., Any], gen: Run, tiny: Path
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    args = [PROMPT, "-m", tiny, "--max-tokens", "1500", "--temperature", "0", "--threads", "1"]
    expected = gen(*args).stdout
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = start_llmtool("gen", *args, stdin=subprocess.DEVNULL, stdout=writer)
    os.close(writer)
    time.sleep(1)
    with open(reader, "rb") as pipe:
        received = pipe.read()
    assert process.wait(10) == 0
    assert len(expected) > 4096
    assert received == expected


def test_unwritable_output_file_is_an_error(gen: Run, tmp_path: Path) -> None:
    line = error_line(gen(PROMPT, "-o", tmp_path / "no" / "folder" / "reply.txt"), 1)
    assert "reply.txt" in line


def test_failed_command_preserves_the_old_file(gen: Run, tmp_path: Path) -> None:
    file = tmp_path / "reply.txt"
    file.write_bytes(b"before")
    error_line(gen(PROMPT, "-m", "no-such-model", "-o", file, "--overwrite"), 10)
    error_line(gen(PROMPT, "--ctx-size", "8", "-o", file, "--overwrite"), 13)
    assert file.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir() if ".tmp" in entry.name] == []
