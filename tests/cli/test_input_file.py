"""Input files: named by arguments, missing, or not text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import READERS, error_line

COMMANDS = {
    **READERS,
    "glossary": ("translate", "hello", "--to", "fr", "--glossary", "in.txt"),
    "lines": ("gen", "--each", "line", "-f", "in.txt"),
}


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_missing_file_is_reported_with_its_name(
    run_llmtool: Callable[..., Any], args: tuple[str, ...]
) -> None:
    line = error_line(run_llmtool(*args, "-m", "none.gguf"), 14)
    assert line.startswith("llmtool: in.txt: no such file")


def test_file_that_is_not_text_is_named(run_llmtool: Callable[..., Any], cwd: Path) -> None:
    (cwd / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    for command in (*READERS.values(), COMMANDS["glossary"]):
        args = [word.replace("in.txt", "photo.png") for word in command]
        line = error_line(run_llmtool(*args, "-m", "none.gguf"), 14)
        assert line == "llmtool: photo.png is a PNG image, not text"


def test_unknown_bytes_are_reported_with_their_offset(
    run_llmtool: Callable[..., Any], cwd: Path
) -> None:
    (cwd / "in.txt").write_bytes(b"caf\xe9")
    line = error_line(run_llmtool("gen", "-f", "in.txt", "-m", "none.gguf"), 14)
    assert "in.txt: not UTF-8 at byte 3 (0xe9)" in line


def test_gen_reads_the_files_after_the_prompt(
    run_llmtool: Callable[..., Any], cwd: Path, tiny: Path
) -> None:
    for name in ("a", "b", "c"):
        (cwd / f"{name}.txt").write_text(f"Text {name}.")
    args = ("-m", tiny, "--dry-run", "-f", "c.txt")
    by_argument = run_llmtool("gen", "Compare", "a.txt", "b.txt", *args)
    by_option = run_llmtool("gen", "Compare", "-f", "a.txt", "-f", "b.txt", *args)
    assert by_argument.returncode == 0 and b"Text b." in by_argument.stdout
    assert by_argument.stdout == by_option.stdout
    assert run_llmtool("Compare", "a.txt", "b.txt", *args).stdout == by_option.stdout
    line = error_line(run_llmtool("gen", "Compare", "a.txt", "nothere.txt", *args), 14)
    assert line == (
        "llmtool: nothere.txt: no such file; check the name, or put quotes around a prompt of "
        "several words"
    )


def test_translate_reads_a_file_named_by_its_argument(
    run_llmtool: Callable[..., Any], cwd: Path, tiny: Path
) -> None:
    (cwd / "note.txt").write_text("Good morning")
    args = ("translate", "--to", "fr", "-m", tiny, "--dry-run")
    by_argument = run_llmtool(*args, "note.txt")
    assert b"translating the file note.txt" in by_argument.stderr
    assert by_argument.stdout == run_llmtool(*args, "-f", "note.txt").stdout
    assert b"note.txt" in run_llmtool(*args, "note.txt or another").stdout
    assert "also an input" in error_line(run_llmtool(*args[:-1], "note.txt", "-o", "note.txt"), 2)
