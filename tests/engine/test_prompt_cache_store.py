"""The prompt cache on disk returns the stored bytes or nothing, even from damaged files."""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import random
import resource
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtool import files
from llmtool.engine.llama.prompt_cache.store import PrefixCache, make_key
from llmtool.errors import OutputError
from llmtool.temporary import TemporaryFile

A, B, C, D = ("abcd"[i] * 64 for i in range(4))
PAYLOAD = bytes(range(256)) * 40
NOTE = {"model": "starter", "n_tokens": 70}
LIMIT = 10**6
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")


@pytest.fixture
def cache(tmp_path: Path) -> PrefixCache:
    return PrefixCache(tmp_path / "cache" / "prefix", limit_bytes=LIMIT)


@pytest.fixture
def stored(cache: PrefixCache) -> Path:
    """The file that stores PAYLOAD under the key A."""
    assert cache.store(A, PAYLOAD, note=NOTE)
    (path,) = cache.folder.iterdir()
    return path


def names(cache: PrefixCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestLoad:
    def test_load_returns_a_writable_buffer(self, cache: PrefixCache, stored: Path) -> None:
        payload = cache.load(A)
        assert payload == PAYLOAD
        view = (ctypes.c_uint8 * len(payload)).from_buffer(payload)
        view[0] = 7
        assert payload[0] == 7

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            bytearray(b"state"),
            memoryview(b"a state")[2:],
            (ctypes.c_uint8 * 5)(*b"state"),
            (ctypes.c_uint16 * 3)(1, 2, 3),
        ],
        ids=["empty", "bytearray", "memoryview", "ctypes-bytes", "ctypes-words"],
    )
    def test_any_contiguous_buffer_can_be_stored(self, cache: PrefixCache, payload: Any) -> None:
        assert cache.store(A, payload, note={})
        assert cache.load(A) == bytes(payload)

    def test_key_is_hex_or_bytes(self, cache: PrefixCache, stored: Path) -> None:
        assert cache.load(bytes.fromhex(A)) == PAYLOAD

    @pytest.mark.parametrize("key", ["", "../" + A, A.upper(), A[1:], b"short"], ids=repr)
    def test_invalid_key_is_rejected(self, cache: PrefixCache, key: str | bytes) -> None:
        with pytest.raises(ValueError, match="not a valid key"):
            cache.load(key)

    def test_unknown_key_and_missing_folder_are_misses(self, cache: PrefixCache) -> None:
        assert cache.load(A) is None
        assert not cache.folder.exists()

    def test_limit_of_0_disables_the_cache(self, cache: PrefixCache, stored: Path) -> None:
        off = PrefixCache(cache.folder, limit_bytes=0)
        assert not off.store(B, b"", note={})
        assert off.load(A) is None
        assert names(cache) == [stored.name]

    def test_load_removes_a_state_over_the_limit(self, cache: PrefixCache, stored: Path) -> None:
        assert PrefixCache(cache.folder, limit_bytes=1000).load(A) is None
        assert not stored.exists()


def flip_bit(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        i = at % len(data)
        return data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :]

    return change


DAMAGES = {
    "empty": lambda data: b"",
    "zeros-of-a-power-cut": lambda data: bytes(len(data)),
    "header-cut": lambda data: data[:20],
    "payload-cut": lambda data: data[:-1],
    "only-the-header": lambda data: data[:60],
    "zeros-at-the-end": lambda data: data[:-4096] + bytes(4096),
    "over-long": lambda data: data + b"\0",
    "twice": lambda data: data * 2,
    "over-the-limit": lambda data: data + bytes(LIMIT),
    "foreign": lambda data: b"GGUF" + data[4:],
    "text": lambda data: b"hello\n",
    "magic-flipped": flip_bit(0),
    "format-flipped": flip_bit(8),
    "checksum-flipped": flip_bit(12),
    "note-size-flipped": flip_bit(16),
    "size-flipped": flip_bit(20),
    "huge-size": lambda data: data[:20] + b"\xff" * 8 + data[28:],
    "key-flipped": flip_bit(30),
    "note-flipped": flip_bit(65),
    "payload-flipped": flip_bit(-100),
    "last-byte-flipped": flip_bit(-1),
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_file_is_a_miss_and_is_removed(
    cache: PrefixCache, stored: Path, change: Callable[[bytes], bytes]
) -> None:
    stored.write_bytes(change(stored.read_bytes()))
    assert cache.load(A) is None
    assert not stored.exists()
    assert cache.store(A, PAYLOAD, note=NOTE) and cache.load(A) == PAYLOAD


def test_file_named_after_another_key_is_a_miss(cache: PrefixCache, stored: Path) -> None:
    other = stored.with_name(stored.name.replace(A, B))
    stored.rename(other)
    assert cache.load(B) is None
    assert not other.exists()


@settings(deadline=None)
@given(data=st.data())
def test_damaged_file_never_gives_a_wrong_payload(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = PrefixCache(tmp_path_factory.getbasetemp() / "damage", limit_bytes=LIMIT)
    payload = data.draw(st.binary(max_size=200))
    assert cache.store(A, payload, note=NOTE)
    path = cache.entries()[0].path
    before = path.read_bytes()
    after = bytearray(before)
    for _ in range(data.draw(st.integers(0, 4))):
        after[data.draw(st.integers(0, len(after) - 1))] = data.draw(st.integers(0, 255))
    after = after[: data.draw(st.integers(0, len(after)) | st.just(len(after)))]
    after += data.draw(st.just(b"") | st.binary(max_size=40))
    path.write_bytes(after)
    assert cache.load(A) == (payload if after == before else None)
    path.unlink(missing_ok=True)


def _link(path: Path, aside: Path) -> None:
    path.rename(aside)
    path.symlink_to(aside)


def _dangling_link(path: Path, aside: Path) -> None:
    path.unlink()
    path.symlink_to(aside)


def _circle(path: Path, aside: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _fifo(path: Path, aside: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path, aside: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def _socket(path: Path, aside: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # socket paths are limited to 107 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("put", [_link, _dangling_link, _circle, _fifo, _folder, _socket])
@pytest.mark.timeout(20)
def test_non_regular_file_is_a_miss_and_stays(
    cache: PrefixCache, stored: Path, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    put(stored, tmp_path / "aside")
    before = stored.lstat()
    assert cache.load(A) is None
    assert cache.entries() == []
    assert cache.clear() == (0, 0)
    assert stored.lstat().st_ino == before.st_ino
    is_stored = cache.store(A, b"new", note={})
    assert cache.load(A) == (b"new" if is_stored else None)
    assert is_stored == (put is not _folder)
    if put is _link:
        assert (tmp_path / "aside").read_bytes()[-len(PAYLOAD) :] == PAYLOAD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
def test_file_of_another_user_is_a_miss_and_stays(cache: PrefixCache, stored: Path) -> None:
    os.chown(stored, 12345, 12345)
    assert (cache.load(A), cache.entries(), cache.clear()) == (None, [], (0, 0))
    assert stored.exists()


@needs_user
def test_unreadable_file_is_a_miss(cache: PrefixCache, stored: Path) -> None:
    stored.chmod(0)
    assert cache.load(A) is None
    assert cache.entries() == []


@needs_user
def test_read_only_folder_can_be_read(cache: PrefixCache, stored: Path) -> None:
    cache.folder.parent.chmod(0o500)
    cache.folder.chmod(0o500)
    os.utime(stored, (0, 0))
    try:
        assert cache.load(A) == PAYLOAD
        missing = PrefixCache(cache.folder.parent / "other", limit_bytes=LIMIT)
        assert not missing.store(B, PAYLOAD, note=NOTE)
        with pytest.raises(OutputError, match="permission denied"):
            cache.clear()
    finally:
        cache.folder.parent.chmod(0o700)


@pytest.mark.parametrize("where", ["cache", "cache/prefix"])
def test_file_at_the_cache_path_is_unchanged(
    cache: PrefixCache, tmp_path: Path, where: str
) -> None:
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    path.chmod(0o644)
    assert not cache.store(A, PAYLOAD, note=NOTE)
    assert (cache.load(A), cache.entries(), cache.clear()) == (None, [], (0, 0))
    assert (path.read_text(), mode(path)) == ("mine", 0o644)


def test_full_disk_leaves_other_states_valid(cache: PrefixCache, stored: Path) -> None:
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        os._exit(int(cache.store(B, PAYLOAD, note=NOTE)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert names(cache) == [stored.name]
    assert cache.load(A) == PAYLOAD


def test_reason_for_not_storing_is_logged(
    cache: PrefixCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "llmtool")
    cache.store(A, bytes(LIMIT), note={})
    cache.folder.parent.write_text("")
    cache.store(A, b"", note={})
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert f"the limit is {LIMIT}" in caplog.text and "Not a directory" in caplog.text


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_and_folders_are_private_with_any_umask(cache: PrefixCache, umask: int) -> None:
    assert cache.store(A, PAYLOAD, note=NOTE)
    (path,) = cache.folder.iterdir()
    assert [mode(p) for p in (path, cache.folder, cache.folder.parent)] == [0o600, 0o700, 0o700]
    assert cache.load(A) == PAYLOAD


def test_store_makes_an_accessible_folder_private_again(cache: PrefixCache, stored: Path) -> None:
    cache.folder.chmod(0o755)
    cache.store(B, b"", note={})
    assert mode(cache.folder) == 0o700


class TestLimit:
    def test_least_recently_used_states_are_removed_first(self, cache: PrefixCache) -> None:
        small = PrefixCache(cache.folder, limit_bytes=3500)
        for key in (A, B, C):
            assert small.store(key, bytes(1000), note={})
        small.load(A)
        small.store(D, bytes(1000), note={})
        assert [entry.key for entry in small.entries()] == [D, A, C]
        small.store(B, bytes(2000), note={})
        assert [entry.key for entry in small.entries()] == [B, D]

    def test_load_updates_the_modification_time(self, cache: PrefixCache, stored: Path) -> None:
        os.utime(stored, (0, 0))
        cache.load(A)
        assert abs(stored.stat().st_mtime - time.time()) < 60

    @pytest.mark.parametrize(("spare", "is_stored"), [(0, True), (-1, False)])
    def test_state_may_be_as_large_as_the_limit(
        self, cache: PrefixCache, spare: int, is_stored: bool
    ) -> None:
        cache.store(A, bytes(1000), note=NOTE)
        size = cache.entries()[0].size_bytes
        cache.clear()
        exact = PrefixCache(cache.folder, limit_bytes=size + spare)
        assert exact.store(A, bytes(1000), note=NOTE) is is_stored
        assert (exact.load(A) is not None) is is_stored

    def test_state_over_the_limit_evicts_nothing(self, cache: PrefixCache, stored: Path) -> None:
        assert not cache.store(B, bytes(LIMIT), note={})
        assert names(cache) == [stored.name]

    def test_lower_limit_applies_at_the_next_store(self, cache: PrefixCache) -> None:
        for key in (A, B, C):
            cache.store(key, bytes(1000), note={})
        PrefixCache(cache.folder, limit_bytes=1500).store(D, bytes(1000), note={})
        assert [entry.key for entry in cache.entries()] == [D]

    def test_foreign_files_are_not_counted_and_stay(self, cache: PrefixCache) -> None:
        cache.folder.mkdir(parents=True)
        foreign = cache.folder / f"{B}.prefix"
        foreign.write_bytes(b"X" * 5000)
        (cache.folder / "notes.txt").write_bytes(b"X" * 5000)
        small = PrefixCache(cache.folder, limit_bytes=2500)
        small.store(A, bytes(1000), note={})
        small.store(C, bytes(1000), note={})
        assert names(cache) == [f"{A}.prefix", f"{B}.prefix", f"{C}.prefix", "notes.txt"]

    def test_temporary_files_of_killed_processes_are_removed(
        self, cache: PrefixCache, stored: Path
    ) -> None:
        leftover = cache.folder / f".{B}.01234567.llmtool.tmp"
        leftover.write_bytes(stored.read_bytes()[:100])
        running = TemporaryFile(cache.folder / f"{B}.prefix")
        cache.store(C, b"", note={})
        assert not leftover.exists()
        assert Path(running.name).exists()
        running.discard()

    def test_states_from_the_future_are_removed_first(self, cache: PrefixCache) -> None:
        """They were stored before the clock was set back."""
        small = PrefixCache(cache.folder, limit_bytes=3500)
        for key in (A, B):
            small.store(key, bytes(1000), note={})
        tomorrow = time.time() + 86400
        os.utime(cache.folder / f"{A}.prefix", (tomorrow, tomorrow))
        for key in (C, D):
            assert small.store(key, bytes(1000), note={})
        assert [entry.key for entry in small.entries()] == [D, C, B]


class TestClear:
    def test_entries_have_their_notes(self, cache: PrefixCache, stored: Path) -> None:
        (entry,) = cache.entries()
        assert (entry.key, entry.note) == (A, NOTE)
        assert entry.size_bytes == stored.stat().st_size

    @pytest.mark.parametrize(
        ("model", "shown"),
        [("b\udcffd", "b?d"), ("x" * 9000, "x" * 500), ("\x1b[2J\u202e", "\x1b[2J\u202e")],
        ids=["no-text", "long", "controls"],
    )
    def test_note_accepts_any_model_name(self, cache: PrefixCache, model: str, shown: str) -> None:
        assert cache.store(A, PAYLOAD, note={"model": model})
        assert cache.entries()[0].note == {"model": shown}
        assert cache.load(A) == PAYLOAD

    @pytest.mark.parametrize(
        "change", [flip_bit(60), flip_bit(17), lambda data: data[:70], lambda data: bytes(99)]
    )
    def test_damaged_note_reads_as_empty(
        self, cache: PrefixCache, stored: Path, change: Callable[[bytes], bytes]
    ) -> None:
        stored.write_bytes(change(stored.read_bytes()))
        assert [(entry.key, entry.note) for entry in cache.entries()] == [(A, {})]

    def test_clear_removes_only_cache_files(self, cache: PrefixCache, stored: Path) -> None:
        (cache.folder / f".{B}.01234567.llmtool.tmp").write_bytes(stored.read_bytes()[:100])
        (cache.folder / f"{C}.prefix").write_bytes(b"")
        others = ["notes.txt", f"{D}.prefix", f".{D}.0.tmp", f"{A}.prefix.bak", "x.prefix"]
        for name in others:
            (cache.folder / name).write_bytes(b"not ours")
        n_bytes = stored.stat().st_size + 100
        assert cache.clear(dry_run=True) == (3, n_bytes)
        assert stored.exists()
        assert cache.clear() == (3, n_bytes)
        assert names(cache) == sorted(others)
        assert cache.clear() == (0, 0)


def _work(folder: Path, seed: int, start: Any, failures: Any) -> None:
    """Store and load shared keys and an own key; each payload repeats its key."""
    start.wait()
    cache, rng = PrefixCache(folder, limit_bytes=60_000), random.Random(seed)
    for _ in range(150):
        key = rng.choice([A, B, C, str(seed) * 64])
        if rng.random() < 0.5:
            payload = key.encode() * rng.randint(1, 200)
            if not cache.store(key, payload, note=NOTE):
                failures.put(f"{key[:1]} not stored")
        else:
            payload = bytes(cache.load(key) or b"")
            if payload.replace(key.encode(), b""):
                failures.put(f"{key[:1]} has the bytes of another key")
    cache.entries()


def test_processes_share_a_folder_without_locks(cache: PrefixCache) -> None:
    context = multiprocessing.get_context("spawn")
    failures, start = context.SimpleQueue(), context.Barrier(4)
    workers = [
        context.Process(target=_work, args=(cache.folder, i, start, failures)) for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert failures.empty(), failures.get()
    assert sum(entry.size_bytes for entry in cache.entries()) <= 60_000
    assert all(name.endswith(".prefix") for name in names(cache))


def test_killed_writer_leaves_the_old_state(cache: PrefixCache, stored: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from llmtool.engine.llama.prompt_cache.store import PrefixCache\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "PrefixCache(Path(sys.argv[1]), limit_bytes=10**6).store('a' * 64, b'new', note={})"
    )
    subprocess.run([sys.executable, "-c", program, str(cache.folder)])
    assert len(names(cache)) == 2
    assert cache.load(A) == PAYLOAD
    assert cache.clear()[0] == 2


class TestKey:
    PARTS: dict[str, Any] = {
        "model": [("/m", 9, 8, 7)],
        "build": "b1",
        "params": {"n": 1, "f": False},
        "tokens": [1, 2],
    }

    def test_key_is_the_hash_of_its_parts_as_json(self) -> None:
        text = b'[[["/m",9,8,7]],"b1",[["f",false],["n",1]],[1,2]]'
        assert make_key(**self.PARTS) == hashlib.sha256(text).hexdigest()

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": [("/n", 9, 8, 7)]},
            {"model": [("/m", 98, 8, 7)]},
            {"model": [("/m", 9, 9, 7)]},
            {"model": [("/m", 9, 8, 8)]},
            {"model": [("/m", 9, 8, 7), ("/n", 9, 8, 7)]},
            {"build": "b12"},
            {"build": 'b1"'},
            {"params": {"n": 1}},
            {"params": {"n": True, "f": False}},
            {"params": {"n": 1.0, "f": False}},
            {"params": {"n": "1", "f": False}},
            {"params": {"n": None, "f": False}},
            {"params": {"nf": 1, "": False}},
            {"tokens": [12]},
            {"tokens": [1, 2, 0]},
            {"tokens": [2, 1]},
            {"tokens": []},
        ],
        ids=str,
    )
    def test_every_part_changes_the_key(self, changes: dict[str, Any]) -> None:
        assert make_key(**self.PARTS | changes) != make_key(**self.PARTS)

    def test_order_of_parameters_does_not_matter(self) -> None:
        other_order = dict(reversed(self.PARTS["params"].items()))
        assert make_key(**self.PARTS | {"params": other_order}) == make_key(**self.PARTS)

    def test_model_is_identified_by_its_file_not_its_path(self, tmp_path: Path) -> None:
        path = tmp_path / "m\udcff.gguf"
        path.write_bytes(b"model")
        (tmp_path / "link").symlink_to(path)
        assert files.identify(tmp_path / "link") == files.identify(path)
        key = make_key(**self.PARTS | {"model": [files.identify(path)]})
        path.write_bytes(b"other model")
        assert make_key(**self.PARTS | {"model": [files.identify(path)]}) != key
