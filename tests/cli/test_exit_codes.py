"""Every command refuses a wrong option; those that can come to 2, 10 to 14 and 16 say so in a line.

Nothing is on stdout then, and no traceback. 1, 3, 15, 17, 18 and signals are other files' matter.
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
    """Return `run(words)`: the command in a folder that has one of everything."""
    for name, content in FILES.items():
        (tmp_path / "cwd" / name).write_bytes(content)

    def start(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        if "commit" in words:
            stage(tmp_path / "cwd", env)
        return run_llmtool(*words, stdin=subprocess.DEVNULL)

    return start


def test_every_command_that_there_is_is_in_the_table() -> None:
    assert set(EVERY) == names_of_all()


@pytest.mark.parametrize("words", EVERY.values(), ids=EVERY)
def test_2_for_an_option_that_there_is_not(run: Run, words: tuple[str, ...]) -> None:
    assert "--no-such-option" in error_line(run(*words, "--no-such-option"), 2)


@pytest.mark.parametrize("words", ASKING.values(), ids=ASKING)
def test_2_for_a_value_that_cannot_be(run: Run, words: tuple[str, ...]) -> None:
    assert "--threads" in error_line(run(*words, "--threads", "none"), 2)


CALLED = {**{name: (*words, "-m") for name, words in ASKING.items()}, **NAMING}


@pytest.mark.parametrize("words", CALLED.values(), ids=CALLED)
def test_10_for_a_model_that_is_not_here(run: Run, words: tuple[str, ...]) -> None:
    assert "no-such-model" in error_line(run(*words, "no-such-model"), 10)


BAD = {name: words for name, words in CALLED.items() if name not in ("models pull", "models rm")}
del BAD["models verify"]  # which says of each file what it is, and ends in 16


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_11_for_a_file_that_is_no_model(run: Run, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "bad.gguf"), 11)
    assert "bad.gguf" in line and "GGUF" in line


@pytest.mark.parametrize("words", TEMPLATES.values(), ids=TEMPLATES)
def test_12_for_a_broken_template(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    assert "broken.yaml:3: " in error_line(run(*words, "-m", tiny), 12)


@pytest.mark.parametrize("words", OVERFLOWING.values(), ids=OVERFLOWING)
def test_13_for_a_text_that_is_too_long(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "-m", tiny, "--ctx-size", "256"), 13)
    assert "256 are available" in line and "--" in line
    assert "the river" not in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_file_that_is_not_there(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    missing = "./missing.json" if "--schema" in words else "missing.txt"
    missing += ":1:1" if "complete" in words else ""
    line = error_line(run(*words, missing, "-m", tiny), 14)
    assert "missing." in line and "not found" in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_file_that_is_no_text(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    file = "./latin.txt" if "--schema" in words else "latin.txt"
    line = error_line(run(*words, file + (":1:1" if "complete" in words else ""), "-m", tiny), 14)
    assert "latin.txt" in line and "3" in line and "UTF-8" in line
    assert "caf" not in line


def test_16_for_a_file_that_is_damaged(run: Run) -> None:
    done = run("models", "verify", "bad.gguf")
    assert (done.returncode, done.stdout.split(b"\t")[0]) == (16, b"bad")
    (line,) = done.stderr.decode().splitlines()
    assert "bad.gguf: not a GGUF file" in line
    assert "models rm" not in line, "it is not in the store"
