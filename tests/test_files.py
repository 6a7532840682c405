"""Atomic writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmtool import files
from llmtool.errors import LockedError, OutputError


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_append_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "rc"
    path.write_bytes(b"old\n")
    path.chmod(0o640)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot write .*rc: "):
            files.append(path, b"a line of text\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old\n"
    files.append(path, b"new\n")
    assert path.read_bytes() == b"old\nnew\n" and path.stat().st_mode & 0o777 == 0o640


def test_locked_folder_is_waited_for(tmp_path: Path) -> None:
    with files.lock_folder(tmp_path):
        with pytest.raises(LockedError), files.lock_folder(tmp_path, timeout_seconds=0.2):
            pass
    with files.lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []
    with files.lock_folder(tmp_path / "missing"):
        pass
