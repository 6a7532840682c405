"""With --json, a command that fails prints one JSON object on stdout: `error` and `exit_code`."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.calls import EVERY
from command import INFINITE, error_line, linux, wait_until_mapped

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.mark.parametrize("words", EVERY.values(), ids=EVERY)
def test_usage_error_of_every_command(run_llmtool: Run, words: tuple[str, ...]) -> None:
    assert "--no-such-option" in error_line(run_llmtool(*words, "--no-such-option", "--json"), 2)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("gen", "hi", "-m", "no-such-model"), 10),
        (("gen", "--each", "line", "-f", "gone.txt"), 14),
        (("models", "info", "no-such-model"), 10),
        (("sessions", "show", "nothing"), 2),
        (("prompts", "show", "nothing"), 12),
        (("code", "commit", "--install-hook"), 2),
    ],
    ids=["model", "batch", "models", "session", "template", "options"],
)
def test_error_of_a_command(run_llmtool: Run, args: tuple[str, ...], code: int) -> None:
    error_line(run_llmtool(*args, "--json", stdin=subprocess.DEVNULL), code)


def test_json_after_a_double_dash_is_text(run_llmtool: Run) -> None:
    result = run_llmtool("gen", "-m", "no-such-model", "--", "--json")
    assert (result.returncode, result.stdout) == (10, b"")


def test_no_second_document_follows_a_result(run_llmtool: Run, tiny: Path) -> None:
    result = run_llmtool(
        *("classify", "rain", "-l", "a,b", "-m", tiny, "--json"),
        *("--fail-on", "a", "--fail-on", "b"),
    )
    assert result.returncode == 15
    assert json.loads(result.stdout)["label"] in ("a", "b")


def test_failed_check_of_a_result_in_a_file_is_printed(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    result = run_llmtool(
        *("classify", "rain", "-l", "a,b", "-m", tiny, "--json", "-o", "out.json"),
        *("--fail-on", "a", "--fail-on", "b"),
    )
    assert "listed in --fail-on" in error_line(result, 15)
    assert json.loads((cwd / "out.json").read_bytes())["label"] in ("a", "b")


@linux
def test_ctrl_c(start_llmtool: Callable[..., Any], tiny_model: Callable[..., Path]) -> None:
    model = tiny_model("plain", **INFINITE)
    args = ("gen", "Go on", "--max-tokens", "60000", "--json", "-m", model)
    process = start_llmtool(*args, stdin=subprocess.DEVNULL)
    wait_until_mapped(process, model.name)
    time.sleep(0.5)  # a thread loads the model while the command starts
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGINT, b"")
    assert json.loads(out) == {"error": "stopped by a signal", "exit_code": 130}


def test_closed_pipe_gets_nothing_more(start_llmtool: Callable[..., Any], tiny: Path) -> None:
    process = start_llmtool("gen", "Go on", "-m", tiny, "--json", "--max-tokens", "4")
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGPIPE, b"")
