import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from models.conftest import COMMIT, OTHER
from models.gguf_bytes import build

from llmtool.errors import ModelNotFound, UsageError
from llmtool.models import import_file, registry
from llmtool.models.hub.blob_lock import lock_blob
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.store import Store


def files_of(folder):
    found = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir())
    return sorted(str(path) for path in found if path.parts[0] != ".locks")


def record(store, cached, name, content):
    """Add a file to the cache and to the registry, as a pull does."""
    cached("org/name", name, content)
    files = (registry.FileRecord(path=name, size_bytes=len(content)),)
    made = registry.Record(source="hub", name="org/name", files=files, commit=COMMIT)
    registry.update(store.layout.registry_file, lambda known: known.with_record(made))


def is_locked(hub_cache, repo, digest):
    """Return whether a blob is locked, as seen by another process."""
    code = (
        "import sys; from pathlib import Path\n"
        "from llmtool.models.hub.blob_lock import lock_blob\n"
        "from llmtool.models.hub.callbacks import Callbacks\n"
        "at_once = Callbacks(cancelled=lambda: True)\n"
        "with lock_blob(Path(sys.argv[1]), *sys.argv[2:], at_once): pass"
    )
    command = [sys.executable, "-c", code, str(hub_cache), repo, digest]
    return b"cancelled while waiting" in subprocess.run(command, capture_output=True).stderr


class TestVerify:
    def test_cached_file_is_compared_with_its_blob_name(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"right")
        wrong = cached("org/name", "m-Q8_0.gguf", b"wrong")
        wrong.resolve().write_bytes(b"worse")
        found = {result.path.name: result for result in store.verify()}
        assert found["m-Q4_K_M.gguf"].is_valid is True
        assert found["m-Q8_0.gguf"].is_valid is False
        assert "damaged: checksum" in found["m-Q8_0.gguf"].reason

    def test_starter_is_compared_with_package_metadata(self, folders, starter):
        (result,) = Store(folders).verify("starter")
        assert (result.is_valid, result.reason) == (True, "checksum matches")

    def test_file_with_unknown_checksum_gets_header_check(self, store, tmp_path):
        path = tmp_path / "m.gguf"
        path.write_bytes(build())
        (result,) = store.verify(str(path))
        assert result.is_valid is None
        path.write_bytes(build()[:-600])
        (result,) = store.verify(str(path))
        assert result.is_valid is False and "truncated" in result.reason

    def test_modified_imported_file_is_reported(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        model = store.import_file(tmp_path / "m.gguf")
        assert [r.is_valid for r in store.verify("m")] == [True]
        with model.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        assert [r.is_valid for r in store.verify("m")] == [False]

    def test_progress_covers_all_models(self, store, cached):
        cached("org/one", "m-Q4_K_M.gguf", b"x" * 100)
        cached("org/two", "m-Q4_K_M.gguf", b"y" * 50)
        seen = []
        list(store.verify(None, Callbacks(on_progress=lambda *at: seen.append(at))))
        assert seen == [(100, 150), (150, 150)]


class TestRemove:
    def test_removes_link_blob_and_repository_folder(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        removed = store.remove("org/name")
        assert [(r.reason, r.size_bytes) for r in removed] == [("blob", 4)]
        assert files_of(folders.hub_cache) == []
        with pytest.raises(ModelNotFound):
            store.find("org/name")

    def test_dry_run_removes_nothing(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        before = files_of(folders.hub_cache)
        assert [r.size_bytes for r in store.remove("org/name", dry_run=True)] == [4]
        assert files_of(folders.hub_cache) == before

    def test_keeps_other_quants(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"four")
        cached("org/name", "m-Q8_0.gguf", b"eight")
        store.remove("org/name:Q4_K_M")
        assert store.find("org/name").quant == "Q8_0"

    def test_keeps_blob_used_by_another_file(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"same")
        other = cached("org/name", "copy-Q8_0.gguf", b"same")
        assert [r.reason for r in store.remove("org/name:Q4_K_M")] == ["snapshot"]
        assert other.read_bytes() == b"same"

    def test_removes_all_commits_without_revision(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        cached("org/name", "m-Q4_K_M.gguf", b"new", commit=OTHER, revision="v1")
        assert sorted(r.size_bytes for r in store.remove("org/name")) == [3, 4]
        assert files_of(folders.hub_cache) == []

    def test_reports_shared_blob_once(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf")
        cached("org/name", "m-Q4_K_M.gguf", commit=OTHER, revision="v1")
        assert [(r.reason, r.size_bytes) for r in store.remove("org/name")] == [("blob", 4)]

    def test_same_file_name_in_two_folders_is_two_models(self, store, cached):
        record(store, cached, "Q4/model.gguf", b"four")
        record(store, cached, "Q8/model.gguf", b"eight")
        store.remove("org/name:Q4/model.gguf")
        records = registry.load(store.layout.registry_file).models
        remaining = [file.path for record in records for file in record.files]
        assert remaining == ["Q8/model.gguf"]

    def test_keeps_files_of_other_tools(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        folder = folders.hub_cache / "models--org--name"
        (folder / ".no_exist").mkdir()
        (folder / ".no_exist" / "config.json").touch()
        store.remove("org/name")
        assert files_of(folder) == [".no_exist/config.json"]

    def test_keeps_folders_during_a_download(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        with lock_blob(folders.hub_cache, "org/name", "f" * 64):
            store.remove("org/name")
        assert (folders.hub_cache / "models--org--name" / "blobs").is_dir()

    def test_removes_only_the_commit_of_a_revision(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf")
        cached("org/name", "m-Q4_K_M.gguf", b"new", commit=OTHER, revision="v1")
        store.remove("org/name@v1")
        assert store.find("org/name").commit == COMMIT
        with pytest.raises(ModelNotFound):
            store.find("org/name@v1")

    def test_rejects_the_starter_and_plain_files(self, folders, tmp_path, starter):
        path = tmp_path / "m.gguf"
        path.touch()
        with pytest.raises(UsageError, match="delete the file"):
            Store(folders).remove(str(path))
        with pytest.raises(UsageError, match="pip uninstall"):
            Store(folders).remove("starter")
        assert path.exists() and starter.exists()

    def test_removes_imported_model(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        store.import_file(tmp_path / "m.gguf")
        store.remove("m")
        assert (tmp_path / "m.gguf").exists()
        assert registry.load(store.layout.registry_file).models == ()


class TestPrune:
    def test_removes_only_unused_files(self, store, cached, folders):
        used = cached("org/name", "m-Q4_K_M.gguf", b"used")
        blobs = folders.hub_cache / "models--org--name" / "blobs"
        (blobs / ("1" * 64)).write_bytes(b"unused")
        (blobs / ("2" * 64 + ".llmtool.incomplete")).write_bytes(b"part")
        (blobs / ("3" * 64 + ".abcd.incomplete")).write_bytes(b"other tool")
        dangling = cached("org/name", "m-Q8_0.gguf", b"gone")
        dangling.resolve().unlink()
        assert sorted(r.reason for r in store.prune(dry_run=True)) == [
            "dangling link",
            "interrupted download",
            "unused blob",
        ]
        assert dangling.is_symlink()
        store.prune()
        assert used.read_bytes() == b"used"
        assert sorted(p.name[:1] for p in blobs.iterdir() if p != used.resolve()) == ["3"]
        assert store.prune() == []

    def test_keeps_empty_repository_folder(self, store, folders):
        (folders.hub_cache / "models--org--new" / "blobs").mkdir(parents=True)
        store.prune()
        assert (folders.hub_cache / "models--org--new" / "blobs").is_dir()

    def test_holds_blob_lock_while_removing(self, store, cached, folders, monkeypatch):
        blob = cached("org/name", "m-Q4_K_M.gguf").resolve()
        (folders.hub_cache / f"models--org--name/snapshots/{COMMIT}/m-Q4_K_M.gguf").unlink()
        locked, unlink = [], Path.unlink

        def watched(path, missing_ok=False):
            if path == blob:
                locked.append(is_locked(folders.hub_cache, "org/name", blob.name))
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", watched)
        assert [r.reason for r in store.prune()] == ["unused blob"]
        assert locked == [True] and not blob.exists()

    def test_keeps_blob_linked_by_another_process(self, store, cached, folders, monkeypatch):
        link = cached("org/name", "m-Q4_K_M.gguf")
        target = os.readlink(link)
        link.unlink()

        @contextlib.contextmanager
        def link_first(*args, **options):
            with lock_blob(*args, **options):
                if not link.is_symlink():
                    link.symlink_to(target)
                yield

        monkeypatch.setattr("llmtool.models.hub.blob_lock.lock_blob", link_first)
        assert store.prune() == []
        assert link.read_bytes() == b"GGUF"

    def test_removes_records_without_files(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        store.import_file(tmp_path / "m.gguf").path.unlink()
        store.prune()
        assert registry.load(store.layout.registry_file).models == ()


IMPORT = """
import os, signal, sys
from pathlib import Path
from llmtool.config import Folders
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.store import Store

if sys.argv[3] == "copied":
    def no_link(*_, **__): raise OSError
    os.link = no_link

def report(done, total):
    if done and sys.argv[4] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if done:
        print("running", flush=True)
        sys.stdin.readline()

folders = Folders(**{name: Path(sys.argv[1], name) for name in Folders._fields})
Store(folders).import_file(Path(sys.argv[2]), Callbacks(on_progress=report))
"""


@pytest.fixture
def start_import(tmp_path):
    """Return `start(name, method, end)`, which starts an import and waits for its progress."""
    started = []

    def start(name="m.gguf", method="linked", end="waiting"):
        path = tmp_path / name
        path.write_bytes(build() + bytes(3_000_000))
        command = [sys.executable, "-c", IMPORT, str(tmp_path), str(path), method, end]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class TestPruneOfImports:
    @pytest.mark.parametrize("method", ["linked", "copied"])
    def test_removes_folder_of_killed_import(self, store, start_import, method):
        start_import(method=method, end="killed").wait()
        (left,) = store.layout.imported_folder.iterdir()
        size = sum(p.stat().st_size for p in left.iterdir())
        freed = 0 if method == "linked" else size
        (dry,) = store.prune(dry_run=True)
        assert (dry.path, dry.reason, dry.size_bytes) == (left, "interrupted import", freed)
        assert left.is_dir()
        assert store.prune() == [dry]
        assert list(store.layout.imported_folder.iterdir()) == []
        assert store.prune() == []

    def test_keeps_folder_of_running_import(self, store, start_import):
        start_import("dead.gguf", end="killed").wait()
        live = start_import("live.gguf")
        assert [removal.reason for removal in store.prune()] == ["interrupted import"]
        assert store.prune() == []
        live.communicate("\n" * 100, timeout=30)
        assert live.returncode == 0
        assert [result.is_valid for result in store.verify("live")] == [True]
        assert [p.name for p in store.layout.imported_folder.iterdir()] == ["live.gguf"]

    def test_keeps_folder_of_import_in_same_process(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        pruned = []
        callbacks = Callbacks(on_progress=lambda done, total: pruned.append(store.prune()))
        store.import_file(tmp_path / "m.gguf", callbacks)
        assert pruned and not any(pruned)
        assert [result.is_valid for result in store.verify("m")] == [True]

    def test_import_locks_folder_before_prune_sees_it(self, store, tmp_path, monkeypatch):
        (tmp_path / "m.gguf").write_bytes(build())
        lock, pruned = import_file.lock_import, []

        def prune_first(folder):
            monkeypatch.setattr(import_file, "lock_import", lock)
            pruned.append((folder.is_dir(), store.prune(dry_run=True)))
            return lock(folder)

        monkeypatch.setattr(import_file, "lock_import", prune_first)
        store.import_file(tmp_path / "m.gguf")
        assert pruned == [(True, [])]

    def test_removes_only_import_folders(self, store, tmp_path):
        store.layout.imported_folder.mkdir(parents=True)
        others = [".import-file", "import-x", ".imported"]
        for name in others:
            (store.layout.imported_folder / name).touch()
        (tmp_path / "elsewhere").mkdir()
        (store.layout.imported_folder / ".import-link").symlink_to(tmp_path / "elsewhere")
        assert store.prune() == []
        assert len(list(store.layout.imported_folder.iterdir())) == 4
        assert (tmp_path / "elsewhere").is_dir()

    def test_keeps_import_folder_not_locked_yet(self, store, folders):
        (store.layout.imported_folder / ".import-new").mkdir(parents=True)
        program = (
            "import sys; from pathlib import Path; from llmtool import files\n"
            "with files.lock(Path(sys.argv[1])):\n"
            "    print(flush=True); sys.stdin.readline()"
        )
        command = [sys.executable, "-c", program, str(store.layout.registry_file)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as holder:
            holder.stdout.readline()
            assert store.prune(dry_run=True) == []
            holder.communicate("\n")
        assert [removal.reason for removal in store.prune()] == ["interrupted import"]
