"""The cache of values on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtool.tasks.pipeline.disk_cache import DiskCache

KEY = "0123456789abcdef"


def test_value_of_a_read_only_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path)
    cache.save(KEY, [1, 2])

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", fail)
    assert cache.load(KEY, list[int]) == [1, 2]


def test_value_of_another_type_counts_as_missing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.save(KEY, [1, 2])
    assert cache.load(KEY, str) is None


def test_least_recently_used_values_are_removed(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, limit=2)
    for n in range(3):
        key = f"{n:016x}"
        cache.save(key, n)
        os.utime(tmp_path / f"{key}.json", (n, n))
    cache.save(KEY, 3)
    assert sorted(cache.values(int)) == [2, 3]
