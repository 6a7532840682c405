"""The cache of values on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llmtool.errors import OutputError
from llmtool.tasks.pipeline.disk_cache import DiskCache

KEY = "0123456789abcdef"
NAME = "values.db"


def numbered(n: int) -> str:
    return f"{n:016x}"


def change(folder: Path, statement: str, *values: object) -> None:
    """Change the file of a cache behind its back."""
    with contextlib.closing(sqlite3.connect(folder / NAME)) as database, database:
        database.execute(statement, values)


def test_value_is_returned_by_another_process_and_is_private(tmp_path: Path) -> None:
    DiskCache(tmp_path / "new" / "cache").save(KEY, {"a": [1, "é"]})
    assert DiskCache(tmp_path / "new" / "cache").load(KEY, dict[str, list]) == {"a": [1, "é"]}
    if os.name != "nt":
        assert (tmp_path / "new" / "cache" / NAME).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_reading_creates_no_file(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    assert cache.load(KEY, str) is None and not list(cache.values(str))
    assert cache.clear() == (0, 0) and not (tmp_path / "cache").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="modes do not bind this user")
def test_value_of_a_read_only_cache_is_used(tmp_path: Path) -> None:
    DiskCache(tmp_path).save(KEY, [1, 2])
    (tmp_path / NAME).chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        cache = DiskCache(tmp_path, limit=1)
        assert [cache.load(KEY, list[int]) for _ in range(2)] == [[1, 2]] * 2
        with pytest.raises(OutputError):
            cache.save(KEY, [3])
        cache.try_to_save(KEY, [3])
    finally:
        tmp_path.chmod(0o700)


def test_value_is_used_although_its_use_cannot_be_recorded(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    for n in range(10):
        cache.save(numbered(n), n)
    change(
        tmp_path, "CREATE TRIGGER no BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, ''); END"
    )
    assert DiskCache(tmp_path).load(numbered(0), int) == 0


def test_value_of_another_type_counts_as_missing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.save(KEY, [1, 2])
    assert cache.load(KEY, str) is None
    assert cache.load(KEY, list[int]) == [1, 2]


def test_value_with_changed_bytes_counts_as_missing(tmp_path: Path) -> None:
    """As after a power failure: the row is valid, its pages are older."""
    cache = DiskCache(tmp_path)
    cache.save(KEY, "good")
    change(tmp_path, "UPDATE entries SET value = ?", b'"evil"')
    assert cache.load(KEY, str) is None and not list(cache.values(str))


@pytest.mark.parametrize("limits", [{"limit": 2}, {"limit": None, "limit_bytes": 90_000}], ids=str)
def test_least_recently_used_values_are_removed(tmp_path: Path, limits: dict[str, int]) -> None:
    cache = DiskCache(tmp_path, **limits)
    values = [f"{n}" * 30_000 for n in range(3)]
    for n in (0, 1):
        cache.save(numbered(n), values[n])
    assert cache.load(numbered(0), str) == values[0]
    cache.save(numbered(2), values[2])
    assert sorted(cache.values(str)) == [values[0], values[2]]


def test_many_short_processes_do_not_exceed_the_limit(tmp_path: Path) -> None:
    for n in range(1500):
        cache = DiskCache(tmp_path, limit=500)
        cache.save(numbered(n), n)
    assert len(list(cache.values(int))) < 560


@pytest.mark.parametrize("length", [10, 1000, 20_000])
def test_file_is_not_larger_than_the_limit_in_bytes(tmp_path: Path, length: int) -> None:
    limit = 500_000
    cache = DiskCache(tmp_path, limit=1_000_000, limit_bytes=limit)
    sizes = []
    for n in range(1_250_000 // (length + 200)):
        key = hashlib.sha256(numbered(n).encode()).hexdigest()
        cache.save(key, "x" * length)
        sizes.append((tmp_path / NAME).stat().st_size)
    assert 0.8 * limit < max(sizes) <= limit
    assert cache.clear(dry_run=True)[1] == (tmp_path / NAME).stat().st_size


def test_file_of_a_larger_limit_shrinks(tmp_path: Path) -> None:
    before = DiskCache(tmp_path, limit=None)
    for n in range(300):
        before.save(numbered(n), "x" * 1000)
    cache = DiskCache(tmp_path, limit=None, limit_bytes=100_000)
    for n in range(300, 303):
        cache.save(numbered(n), "x" * 1000)
    assert (tmp_path / NAME).stat().st_size <= 100_000
    assert cache.load(numbered(302), str) == "x" * 1000


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"SQLite format 3\0" + b"\xff" * 5000, "truncated", "foreign", "pages"],
    ids=["empty", "text", "noise", "truncated", "foreign", "pages"],
)
def test_damaged_file_is_replaced(tmp_path: Path, damage: bytes | str) -> None:
    before = DiskCache(tmp_path)
    for n in range(500):
        before.save(numbered(n), "x" * 100)
    path, content = tmp_path / NAME, (tmp_path / NAME).read_bytes()
    if damage == "foreign":
        path.unlink()
        change(tmp_path, "CREATE TABLE notes (text)")
    elif damage == "truncated":
        path.write_bytes(content[:6000])
    elif damage == "pages":
        path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    else:
        path.write_bytes(damage)  # type: ignore[arg-type]
    assert DiskCache(tmp_path).load(numbered(1), str) is None
    for cache in (DiskCache(tmp_path), before):
        assert cache.load(numbered(1), str) in (None, "x" * 100)
        cache.save(KEY, "new")
        assert cache.load(KEY, str) == "new"


def test_removed_file_is_created_again(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.save(KEY, 1)
    (tmp_path / "cache" / NAME).unlink()
    cache.save(KEY, 2)
    assert DiskCache(tmp_path / "cache").load(KEY, int) == 2


def test_folder_that_cannot_be_created_is_an_error_of_saving_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cache = DiskCache(tmp_path / "file")
    assert cache.load(KEY, int) is None
    with pytest.raises(OutputError, match="cannot write"):
        cache.save(KEY, 1)
    assert (tmp_path / "file").read_text() == "mine"


def test_cleared_text_does_not_remain_in_the_file(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    for n in range(100):
        cache.save(numbered(n), "secret" * 100)
    assert cache.clear(dry_run=True) == (100, (tmp_path / NAME).stat().st_size)
    assert b"secret" in (tmp_path / NAME).read_bytes()
    assert cache.clear()[0] == 100 and cache.clear() == (0, 0)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}-journal"}


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_process_loses_no_saved_value_and_damages_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from llmtool.tasks.pipeline.disk_cache import *\n"
        "cache = DiskCache(Path(sys.argv[1]), limit=None)\n"
        "for n in range(10**6): cache.save(f'{n:016x}', 'x' * 500); print(n, flush=True)\n"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(200)]
        process.kill()
        rest = process.communicate()[0].rpartition("\n")[0].split()
        last = int([*printed, *rest][-1])
        cache = DiskCache(tmp_path, limit=None)
        assert all(cache.load(numbered(n), str) == "x" * 500 for n in range(last + 1))
        with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_threads_and_processes_share_a_cache(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from llmtool.tasks.pipeline.disk_cache import *\n"
        "cache = DiskCache(Path(sys.argv[1]), limit=None)\n"
        "for n in range(200): cache.save(f'{n + int(sys.argv[2]):016x}', n)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(start)]) for start in (1000, 2000)]
    cache = DiskCache(tmp_path, limit=None)
    threads = [
        threading.Thread(
            target=lambda i=i: [cache.save(numbered(i * 100 + n), n) for n in range(100)]
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(cache.values(int))) == 800


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_child_uses_the_cache(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.save(numbered(0), 0)
    child = os.fork()
    if not child:
        found = cache.load(numbered(0), int)
        cache.save(numbered(1), 1)
        os._exit(0 if found == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    cache.save(numbered(2), 2)
    assert sorted(cache.values(int)) == [0, 1, 2]
