"""Exit codes 2, 10 to 14 and 16 of every command that can fail with them, each in one line.

stdout is empty, and no traceback is printed. Other files test 1, 3, 15, 17, 18 and signals.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.calls import (
    ASKING,
    EVERY,
    FILES,
    NAMING,
    OVERFLOWING,
    READING,
    TEMPLATES,
    names_of_all,
    stage,
)
from command import error_line

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(run_llmtool: Run, tmp_path: Path, env: dict[str, str]) -> Run:
    """Return `run(words)`: run a command in a folder with all kinds of files."""
    for name, content in FILES.items():
        (tmp_path / "cwd" / name).write_bytes(content)

    def start(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        if "commit" in words:
            stage(tmp_path / "cwd", env)
        return run_llmtool(*words, stdin=subprocess.DEVNULL)

    return start


def test_every_command_is_in_the_table() -> None:
    assert set(EVERY) == names_of_all()


@pytest.mark.parametrize("words", EVERY.values(), ids=EVERY)
def test_2_for_an_unknown_option(run: Run, words: tuple[str, ...]) -> None:
    assert "--no-such-option" in error_line(run(*words, "--no-such-option"), 2)


@pytest.mark.parametrize("words", ASKING.values(), ids=ASKING)
def test_2_for_an_invalid_value(run: Run, words: tuple[str, ...]) -> None:
    assert "--threads" in error_line(run(*words, "--threads", "none"), 2)


CALLED = {**{name: (*words, "-m") for name, words in ASKING.items()}, **NAMING}


@pytest.mark.parametrize("words", CALLED.values(), ids=CALLED)
def test_10_for_an_unknown_model(run: Run, words: tuple[str, ...]) -> None:
    assert "no-such-model" in error_line(run(*words, "no-such-model"), 10)


BAD = {name: words for name, words in CALLED.items() if name not in ("models pull", "models rm")}
del BAD["models verify"]  # which reports each file and exits with 16


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_11_for_an_invalid_model_file(run: Run, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "bad.gguf"), 11)
    assert "bad.gguf" in line and "GGUF" in line


@pytest.mark.parametrize("words", TEMPLATES.values(), ids=TEMPLATES)
def test_12_for_a_broken_template(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    assert "broken.yaml:3: " in error_line(run(*words, "-m", tiny), 12)


@pytest.mark.parametrize("words", OVERFLOWING.values(), ids=OVERFLOWING)
def test_13_for_input_that_is_too_long(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "-m", tiny, "--ctx-size", "256"), 13)
    assert "holds 256" in line and "--" in line
    assert "the river" not in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_missing_file(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    missing = "./missing.json" if "--schema" in words else "missing.txt"
    missing += ":1:1" if "complete" in words else ""
    line = error_line(run(*words, missing, "-m", tiny), 14)
    assert "missing." in line and "no such file" in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_binary_file(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    file = "./latin.txt" if "--schema" in words else "latin.txt"
    line = error_line(run(*words, file + (":1:1" if "complete" in words else ""), "-m", tiny), 14)
    assert "latin.txt" in line and "3" in line and "UTF-8" in line
    assert "caf" not in line


def test_16_for_a_damaged_file(run: Run) -> None:
    done = run("models", "verify", "bad.gguf")
    assert (done.returncode, done.stdout.split(b"\t")[0]) == (16, b"damaged")
    (line,) = done.stderr.decode().splitlines()
    assert "bad.gguf: not a GGUF file" in line
    assert "models rm" not in line, "it is not in the store"


SHORT = ("-m", "MODEL", "--max-tokens", "2")
# One command for each code; `cli/test_batch.py` and `cli/test_locks.py` have 18.
PROCESSES = {
    0: ("gen", "Go on", *SHORT),
    1: ("gen", "Go on", "-o", "none/reply.txt", *SHORT),
    2: ("gen", "Go on", "--no-such-option"),
    3: ("gen", "--each", "line", "-f", "rows.jsonl", "--ctx-size", "16", *SHORT),
    10: ("gen", "Go on", "-m", "no-such-model"),
    11: ("gen", "Go on", "-m", "bad.gguf"),
    12: ("run", "./broken.yaml", "Go on", *SHORT),
    13: ("gen", "-f", "long.txt", "--ctx-size", "256", *SHORT),
    14: ("gen", "-f", "missing.txt", *SHORT),
    15: ("classify", "Go on", "-l", "good,bad", "--min-confidence", "1", "-m", "MODEL"),
    16: ("models", "verify", "bad.gguf"),
    17: ("gen", "Go on", "--schema", "a int, b list", *SHORT),
}


@pytest.mark.parametrize("code", PROCESSES)
def test_process_ends_with_the_exit_code(
    run_llmtool_process: Run, tmp_path: Path, tiny: Path, code: int
) -> None:
    for name, content in FILES.items():
        (tmp_path / "cwd" / name).write_bytes(content)
    words = [tiny if word == "MODEL" else word for word in PROCESSES[code]]
    done = run_llmtool_process(*words)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
