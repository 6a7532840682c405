"""Finding the text files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtool.batch import folder as folders
from llmtool.batch.folder import find_files
from llmtool.errors import InputError, UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.md", "a.md", "a.txt", "sub/c.md", "sub/deep/d.md", "vendor/e.md", "x[1].md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    for hidden in (".hidden.md", ".git/config.md"):
        path = tmp_path / hidden
        path.parent.mkdir(exist_ok=True)
        path.write_text("hidden")
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.md"], "a.md b.md sub/c.md sub/deep/d.md vendor/e.md x[1].md"),
        (["*.md", "!vendor", "!x*"], "a.md b.md sub/c.md sub/deep/d.md"),
        (["!*.md"], "a.txt"),
        (["a.{md,txt}"], "a.md a.txt"),
        (["sub/*.md"], "sub/c.md"),
        (["sub/**/*.md"], "sub/c.md sub/deep/d.md"),
        (["./sub/"], "sub/c.md sub/deep/d.md"),
        (["**/c.md"], "sub/c.md"),
        (["?.txt", "x[[]1].md"], "a.txt x[1].md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_matching_files_are_found_in_sorted_order(
    tree: Path, patterns: list[str], names: str
) -> None:
    found = find_files(str(tree), patterns)
    assert [os.path.relpath(path, tree) for path in found.paths] == names.split()


def test_files_that_are_not_text_are_skipped_with_the_reason(tree: Path) -> None:
    (tree / "photo.md").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tree / "paper.md").write_bytes(b"%PDF-1.7\n")
    (tree / "zero.md").write_bytes(b"")
    (tree / "data.md").write_bytes(b"\1\0\2")
    (tree / "wide.md").write_bytes("text".encode("utf-16-le"))
    (tree / "link.md").symlink_to("a.md")
    os.mkfifo(tree / "pipe.md")
    found = find_files(str(tree), ["*.md"])
    assert {os.path.basename(path): kind for path, kind in found.skipped} == {
        "photo.md": "a PNG image",
        "paper.md": "a PDF document",
        "zero.md": "empty",
        "data.md": "a binary file",
        "link.md": "a symbolic link",
        "pipe.md": "not a regular file",
    }
    assert str(tree / "wide.md") in found.paths
    assert str(tree / "paper.md") in find_files(str(tree), ["*.md"], reads_pdf=True).paths


def test_links_to_folders_are_not_followed(tree: Path) -> None:
    expected = find_files(str(tree), ["*"])
    (tree / "sub" / "loop").symlink_to(tree)
    assert find_files(str(tree), ["*"]) == expected


def test_number_of_files_is_bounded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_MAX_FILES", 2)
    with pytest.raises(InputError, match="more than 2 files match; narrow glob="):
        find_files(str(tree), ["*.md"])
    monkeypatch.setattr(folders, "_MAX_ENTRIES", 3)
    with pytest.raises(InputError, match="more than 3 files; name a smaller folder"):
        find_files(str(tree), ["*.md"])


@pytest.mark.parametrize("pattern", ["", "!", "{,}", "{a,b}" * 9])
def test_bad_pattern_is_rejected(tree: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="glob="):
        find_files(str(tree), [pattern])
