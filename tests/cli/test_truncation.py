"""A model file that another process truncates while its weights are in use.

The kernel then answers a look at what is gone with SIGBUS. What is cut within the last page (4 KiB)
reads as zeros and cannot be noticed so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, LLMTOOL, linux, read_exactly, wait_until_mapped
from terminal.screen import Terminal

from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts

Process = subprocess.Popen[bytes]
LONG = ("--max-tokens", "60000", "--ctx-size", "65536", "--threads")


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> Path:
    """A model of 4 MB for one test."""
    return tiny_model("plain", **INFINITE, n_embd=128, n_ff=512, n_layer=4)


def cut(model: Path) -> None:
    os.truncate(model, model.stat().st_size // 2)


def assert_reported(process: Process, *reasons: str) -> None:
    """Check exit code 11 and one line that names the file."""
    _, error = process.communicate(timeout=20)
    assert process.returncode == 11, (process.returncode, error.decode())
    assert error.startswith(b"llmtool: ") and error.count(b"\n") == 1
    assert any(reason in error.decode() for reason in ("was truncated while", *reasons)), error


@linux
@pytest.mark.parametrize("threads", ["1", "2"])
def test_truncation_is_reported_and_the_old_file_preserved(
    start_llmtool: Callable[..., Any], model: Path, tmp_path: Path, threads: str
) -> None:
    folder = tmp_path / "replies"
    folder.mkdir()
    (folder / "reply.txt").write_text("precious\n")
    process = start_llmtool(
        *("gen", "Go on", "-m", model, *LONG, threads, "-o", folder / "reply.txt", "--overwrite"),
        stdin=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 20
    while not list(folder.glob(".*")) and time.monotonic() < limit:
        time.sleep(0.01)
    time.sleep(0.3)
    assert process.poll() is None
    cut(model)
    assert_reported(
        process, "within the file bounds", "truncated"
    )  # a busy machine may still be loading it
    assert [path.name for path in folder.iterdir()] == ["reply.txt"]
    assert (folder / "reply.txt").read_text() == "precious\n"


@linux
def test_truncation_is_reported_during_a_reply(
    start_llmtool: Callable[..., Any], model: Path
) -> None:
    process = start_llmtool("gen", "Go on", "-m", model, *LONG, "1", stdin=subprocess.DEVNULL)
    read_exactly(process.stdout.fileno(), 10)
    cut(model)
    assert_reported(process)


@linux
def test_truncation_is_reported_on_its_own_line_on_a_terminal(
    env: dict[str, str], model: Path
) -> None:
    with Terminal([*LLMTOOL, "gen", "Go on", "-m", model, *LONG, "1"], env) as terminal:
        terminal.wait_until(lambda: len(terminal.raw) > 50)
        cut(model)
        assert terminal.exit_status == 11
    *_, last = terminal.raw.splitlines()
    message = f"llmtool: the file of model {model.name} was truncated while"
    assert last.startswith(message.encode()), last


@pytest.mark.parametrize("name", ["run_cleanups", "error"])
def test_process_ends_even_if_truncation_cannot_be_reported(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    codes: list[int] = []
    console = Console(Interrupts())
    monkeypatch.setattr(console, name, fail)
    monkeypatch.setattr(os, "_exit", codes.append)
    with pytest.raises(MemoryError):
        signals.end_by_fault(console, "model.gguf")
    assert codes == [11]


@linux
def test_truncation_is_reported_during_prefill(
    start_llmtool: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    text = tmp_path / "long.txt"
    text.write_text("the river and the hill " * 8_000)
    process = start_llmtool(
        *("gen", "-f", text, "-m", model, "--max-tokens", "4", "--ctx-size", "65536"),
        *("--threads", "1"),
        stdin=subprocess.DEVNULL,
    )
    wait_until_mapped(process, model.name)
    time.sleep(0.7)
    assert process.poll() is None
    cut(model)
    assert_reported(process)


@linux
def test_batch_resumes_after_the_file_is_restored(
    start_llmtool: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    source, out, whole = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    source.write_text("".join(f"record {i}\n" for i in range(200)))
    common = ["gen", "--each", "line", "--jsonl", "-f", source, "--seed", "3", "-m", model]
    common += ["--max-tokens", "4", "--temperature", "0", "--parallel", "1", "--threads", "1"]
    good, before = model.read_bytes(), model.stat()
    process = start_llmtool(*common, "-o", out, stdin=subprocess.DEVNULL)
    limit = time.monotonic() + 30
    while (out.read_bytes() if out.exists() else b"").count(b"\n") < 5:
        assert time.monotonic() < limit
        time.sleep(0.01)
    cut(model)
    assert_reported(process)
    for line in out.read_bytes().splitlines(keepends=True):
        assert line.endswith(b"\n") and json.loads(line)["text"]
    refused = start_llmtool(*common, "-o", out, "--resume", stdin=subprocess.DEVNULL)
    assert (refused.wait(30), b"truncated" in refused.stderr.read()) == (11, True)
    model.write_bytes(good)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    for path, args in ((out, ["--resume"]), (whole, [])):
        done = start_llmtool(*common, "-o", path, *args, stdin=subprocess.DEVNULL)
        assert done.wait(60) == 0, done.stderr.read()
    assert out.read_bytes() == whole.read_bytes()


@linux
@pytest.mark.parametrize("delay", [0, 0.002, 0.01, 0.05])
def test_truncation_during_loading_ends_the_process(
    start_llmtool: Callable[..., Any],
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    delay: float,
) -> None:
    deep = tiny_model("plain", n_layer=200, n_embd=32)
    out = tmp_path / "reply.txt"
    process = start_llmtool(
        "gen", "Go on", "-m", deep, "-o", out, "--max-tokens", "400", stdin=subprocess.DEVNULL
    )
    wait_until_mapped(process, deep.name)
    time.sleep(delay)
    cut(deep)
    _, error = process.communicate(timeout=20)
    # Loading runs in a thread, where a memory fault ends the process.
    assert process.returncode in (11, -signal.SIGBUS), error.decode()
    assert b"Traceback" not in error and error.count(b"\n") <= 1
    assert not out.exists()
