import os

import pytest
from models.conftest import COMMIT, OTHER
from models.gguf_bytes import build

from llmtool.errors import ModelNotFound, UsageError
from llmtool.models.store import Store


def files_of(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


class TestVerify:
    def test_the_name_of_a_blob_is_its_hash(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"right")
        wrong = cached("org/name", "m-Q8_0.gguf", b"wrong")
        wrong.resolve().write_bytes(b"worse")
        found = {result.path.name: result for result in store.verify()}
        assert found["m-Q4_K_M.gguf"].is_sound is True
        assert found["m-Q8_0.gguf"].is_sound is False
        assert "damaged: hash" in found["m-Q8_0.gguf"].reason

    def test_the_starter_is_compared_with_its_packages_record(self, folders, starter):
        (result,) = Store(folders).verify("starter")
        assert (result.is_sound, result.reason) == (True, "the hash is right")

    def test_a_file_without_a_known_hash_gets_the_check_of_a_load(self, store, tmp_path):
        path = tmp_path / "m.gguf"
        path.write_bytes(build())
        (result,) = store.verify(str(path))
        assert result.is_sound is None
        path.write_bytes(build()[:-600])
        (result,) = store.verify(str(path))
        assert result.is_sound is False and "truncated" in result.reason

    def test_an_imported_file_that_changed(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        model = store.import_file(tmp_path / "m.gguf")
        assert [r.is_sound for r in store.verify("m")] == [True]
        with model.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        assert [r.is_sound for r in store.verify("m")] == [False]

    def test_progress_runs_over_all_models(self, store, cached):
        cached("org/one", "m-Q4_K_M.gguf", b"x" * 100)
        cached("org/two", "m-Q4_K_M.gguf", b"y" * 50)
        seen = []
        list(store.verify(on_progress=lambda done, total: seen.append((done, total))))
        assert seen == [(100, 150), (150, 150)]


class TestRemove:
    def test_a_model_goes_with_its_blob_and_its_repository(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        removed = store.remove("org/name")
        assert [(r.reason, r.size_bytes) for r in removed] == [("snapshot", 0), ("blob", 4)]
        assert files_of(folders.hub_cache) == []
        with pytest.raises(ModelNotFound):
            store.find("org/name")

    def test_a_dry_run_removes_nothing(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        before = files_of(folders.hub_cache)
        assert len(store.remove("org/name", dry_run=True)) == 2
        assert files_of(folders.hub_cache) == before

    def test_other_quants_stay(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"four")
        cached("org/name", "m-Q8_0.gguf", b"eight")
        store.remove("org/name:Q4_K_M")
        assert store.find("org/name").quant == "Q8_0"

    def test_a_blob_that_another_file_needs_stays(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf", b"same")
        other = cached("org/name", "copy-Q8_0.gguf", b"same")
        assert [r.reason for r in store.remove("org/name:Q4_K_M")] == ["snapshot"]
        assert other.read_bytes() == b"same"

    def test_without_a_revision_it_goes_from_every_commit(self, store, cached, folders):
        cached("org/name", "m-Q4_K_M.gguf")
        cached("org/name", "m-Q4_K_M.gguf", b"new", commit=OTHER, revision="v1")
        assert len(store.remove("org/name")) == 4
        assert files_of(folders.hub_cache) == []

    def test_with_a_revision_it_goes_from_that_commit(self, store, cached):
        cached("org/name", "m-Q4_K_M.gguf")
        cached("org/name", "m-Q4_K_M.gguf", b"new", commit=OTHER, revision="v1")
        store.remove("org/name@v1")
        assert store.find("org/name").commit == COMMIT
        with pytest.raises(ModelNotFound):
            store.find("org/name@v1")

    def test_what_is_not_ours_is_not_removed(self, folders, tmp_path, starter):
        path = tmp_path / "m.gguf"
        path.touch()
        with pytest.raises(UsageError, match="delete the file"):
            Store(folders).remove(str(path))
        with pytest.raises(UsageError, match="pip uninstall"):
            Store(folders).remove("starter")
        assert path.exists() and starter.exists()

    def test_an_imported_model(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        store.import_file(tmp_path / "m.gguf")
        store.remove("m")
        assert (tmp_path / "m.gguf").exists()
        assert store.load_registry().models == ()


class TestPrune:
    def test_only_what_no_model_needs_goes(self, store, cached, folders):
        kept = cached("org/name", "m-Q4_K_M.gguf", b"kept")
        blobs = folders.hub_cache / "models--org--name" / "blobs"
        (blobs / ("1" * 64)).write_bytes(b"unused")
        (blobs / ("2" * 64 + ".llmtool.incomplete")).write_bytes(b"part")
        (blobs / ("3" * 64 + ".abcd.incomplete")).write_bytes(b"of another tool")
        dangling = cached("org/name", "m-Q8_0.gguf", b"gone")
        dangling.resolve().unlink()
        assert sorted(r.reason for r in store.prune(dry_run=True)) == [
            "cut transfer",
            "dangling link",
            "unused blob",
        ]
        assert dangling.is_symlink()
        store.prune()
        assert kept.read_bytes() == b"kept"
        assert sorted(p.name[:1] for p in blobs.iterdir() if p != kept.resolve()) == ["3"]
        assert store.prune() == []

    def test_records_of_what_is_gone(self, store, tmp_path):
        (tmp_path / "m.gguf").write_bytes(build())
        store.import_file(tmp_path / "m.gguf").path.unlink()
        store.prune()
        assert store.load_registry().models == ()
