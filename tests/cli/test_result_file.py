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
    return lambda *args: run_llmtool(*args, "-m", "none.gguf", cwd=folder)


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
