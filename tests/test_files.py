"""Atomic writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtool import files
from llmtool.errors import OutputError


def test_write_atomically_syncs_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved.json"
    path.write_bytes(b"old")
    seen: list[tuple[str, object]] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        seen.append(("fsync", os.pread(descriptor, 100, 0)))
        fsync(descriptor)

    def note_replace(source: str, target: Path) -> None:
        seen.append(("replace", (Path(source).read_bytes(), path.read_bytes())))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    files.write_atomically(path, b"new and longer")
    assert seen == [
        ("fsync", b"new and longer"),
        ("replace", (b"new and longer", b"old")),
    ]
    assert path.read_bytes() == b"new and longer"


def test_file_that_is_not_durable_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", fail)
    files.write_atomically(tmp_path / "saved.json", b"value", is_durable=False)
    assert (tmp_path / "saved.json").read_bytes() == b"value"


def test_failed_fsync_preserves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved.json"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="cannot write .*saved.json: input/output error"):
        files.write_atomically(path, b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]
