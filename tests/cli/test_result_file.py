"""`-o FILE`: refused before a model runs where it could not be written, or is what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import READERS, error_line

TEXT = "text,label\nIt rains today.,a\nThe sun shines.,b\n"
each_command = pytest.mark.parametrize("args", READERS.values(), ids=READERS)


@pytest.fixture
def run(run_llmtool: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Return the command in a folder with `in.txt`, and a model that cannot be loaded."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "in.txt").write_text(TEXT)
    (folder / "none.gguf").write_bytes(b"no model")
    return lambda *args, **options: run_llmtool(*args, "-m", "none.gguf", cwd=folder, **options)


@each_command
def test_what_is_read_is_not_written(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    (tmp_path / "work" / "link.txt").symlink_to("in.txt")
    for name in ("in.txt", "./in.txt", "link.txt"):
        line = error_line(run(*args, "-o", name), 2)
        assert line.endswith(f"{name}: is read and cannot be written at the same time")
    assert (tmp_path / "work" / "in.txt").read_text() == TEXT


@pytest.mark.parametrize(
    ("target", "reason"),
    [("none/out.txt", "No such file or directory"), (".", "is a directory")],
    ids=["no folder", "a folder"],
)
@each_command
def test_what_cannot_be_written_is_told_before_the_model_is_loaded(
    run: Callable[..., Any], args: tuple[str, ...], target: str, reason: str
) -> None:
    line = error_line(run(*args, "-o", target), 1)
    assert line.lower() == f"llmtool: {target}: cannot be written: {reason}".lower()


def test_the_look_leaves_nothing_behind(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "old.txt").write_text("old")
    assert run("gen", "hello", "-o", "new.txt").returncode == 11
    assert run("gen", "hello", "-o", "old.txt").returncode == 11
    assert sorted(path.name for path in folder.iterdir()) == ["in.txt", "none.gguf", "old.txt"]
    assert (folder / "old.txt").read_text() == "old"


# What an option names, and what is in that file; `{}` is the file of `-o` too.
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "schema": ('{"type": "object"}', ("gen", "hello", "--schema", "{}")),
    "grammar": ('root ::= "a"', ("gen", "hello", "--grammar", "{}")),
    "template": ("llmtool: 1\nname: read\nprompt: hello\n", ("run", "./{}")),
    "examples": (TEXT, ("classify", "hello", "-l", "a,b", "--examples", "{}")),
    "calibrate": (TEXT, ("classify", "hello", "-l", "a,b", "--calibrate", "{}")),
    "labels": ("a\nb\n", ("classify", "hello", "-l", "@{}")),
    "eval examples": (TEXT, ("classify", "eval", "in.txt", "--examples", "{}")),
    "eval calibrate": (TEXT, ("classify", "eval", "in.txt", "--calibrate", "{}")),
    "glossary": (TEXT, ("translate", "hello", "--to", "fr", "--glossary", "{}")),
}
BATCH = ("--each", "line", "--jsonl", "--overwrite")


@pytest.mark.parametrize(("content", "args"), OPTIONS.values(), ids=OPTIONS)
def test_the_file_of_an_option_is_not_written(
    run: Callable[..., Any], tmp_path: Path, content: str, args: tuple[str, ...]
) -> None:
    name = "read.yaml" if "./{}" in args else "read.csv"
    file = tmp_path / "work" / name
    file.write_text(content)
    named = [each.format(name) for each in args]
    ways = [named]
    if "eval" not in args:
        instruction = ["hello"] if "gen" in args else []
        ways.append([*(each for each in named if each != "hello"), *instruction, *BATCH])
    for way in ways:
        line = error_line(run(*way, "-o", name, input=b"a\n"), 2)
        assert line == f"llmtool: {name}: is read and cannot be written at the same time"
        assert file.read_text() == content
