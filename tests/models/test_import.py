import os

import pytest
from models.gguf_bytes import build

from llmtool.errors import Cancelled, ModelUnreadable, OutputError, UsageError
from llmtool.models import import_file, registry
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.store import Store


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def model_file(tmp_path):
    """Return `write(name)`, which creates a valid model of more than 3 blocks."""

    def write(name="m.gguf"):
        path = tmp_path / name
        path.write_bytes(build() + b"\0" * 3_000_000)
        return path

    return write


@pytest.fixture
def no_links(monkeypatch):
    def no_link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)


@pytest.fixture(params=["linked", "copied"])
def link_method(request):
    if request.param == "copied":
        request.getfixturevalue("no_links")


@pytest.mark.parametrize(
    ("file", "name", "quant"),
    [
        ("My Model.Q8_0.gguf", "my-model.q8_0", "Q8_0"),
        ("model.bin", "model.bin", "F32"),
        ("MODEL.GGUF", "model", "F32"),
    ],
)
def test_name_and_quant_come_from_file_name(store, model_file, file, name, quant):
    model = store.import_file(model_file(file))
    assert (model.name, model.source, model.quant) == (name, "imported", quant)
    assert store.find(name).path == model.path


def test_quant_comes_from_header_if_name_has_none(store, tmp_path):
    (tmp_path / "m.gguf").write_bytes(build({"general.file_type": ("u32", 7)}))
    assert store.import_file(tmp_path / "m.gguf").quant == "Q8_0"


def test_import_survives_removal_of_original(store, model_file, link_method):
    path = model_file()
    content = path.read_bytes()
    model = store.import_file(path, name="mine")
    path.unlink()
    assert store.find("mine").path.read_bytes() == content
    assert names_in(store.layout.imported_folder) == ["mine.gguf"]
    assert [result.is_valid for result in store.verify("mine")] == [True]
    assert model.size_bytes == len(content)


def test_all_parts_of_split_model_are_imported(store, tmp_path):
    for index in (0, 1):
        part = build({"split.count": ("u16", 2), "split.no": ("u16", index)})
        (tmp_path / f"big-0000{index + 1}-of-00002.gguf").write_bytes(part)
    model = store.import_file(tmp_path / "big-00001-of-00002.gguf")
    assert (model.name, len(model.parts)) == ("big", 2)


def test_progress_goes_from_zero_to_file_size(store, model_file, link_method):
    path, seen = model_file(), []
    store.import_file(path, Callbacks(on_progress=lambda *at: seen.append(at)))
    size = path.stat().st_size
    assert (seen[0], seen[-1]) == ((0, size), (size, size))
    assert len(seen) >= 4 and seen == sorted(seen)


def test_cancelled_import_leaves_no_files(store, model_file, link_method):
    seen = []
    callbacks = Callbacks(
        on_progress=lambda done, total: seen.append(done), cancelled=lambda: len(seen) > 2
    )
    with pytest.raises(Cancelled, match="m.gguf: cancelled"):
        store.import_file(model_file(), callbacks)
    assert names_in(store.layout.imported_folder) == []
    assert registry.load(store.layout.registry_file).models == ()


def test_interrupted_import_leaves_no_files(store, model_file, link_method):
    def interrupt(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_file(model_file(), Callbacks(on_progress=interrupt))
    assert names_in(store.layout.imported_folder) == []


def test_failed_registry_write_leaves_no_files(store, model_file, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(registry, "save", fail)
    with pytest.raises(Exception, match="no space left"):
        store.import_file(model_file())
    assert names_in(store.layout.imported_folder) == []


def test_disk_full_error_includes_file_name(store, model_file, link_method):
    def fail(done, total):
        if done:
            raise OSError(28, "No space left on device", "m.gguf")

    with pytest.raises(OutputError, match=r"^cannot write m\.gguf: no space left on device$"):
        store.import_file(model_file(), Callbacks(on_progress=fail))
    assert names_in(store.layout.imported_folder) == []


def test_name_in_use_is_rejected(store, model_file):
    store.import_file(model_file())
    with pytest.raises(UsageError, match="'m' is already in use"):
        store.import_file(model_file())


def test_name_used_by_concurrent_import_is_rejected(store, folders, model_file):
    first, second = model_file("first.gguf"), model_file("second.gguf")
    first.write_bytes(build())
    calls = []

    def race(done, total):
        if not calls:
            calls.append(Store(folders).import_file(first, name="same"))

    with pytest.raises(UsageError, match="'same' is already in use"):
        store.import_file(second, Callbacks(on_progress=race), name="same")
    assert store.find("same").path.read_bytes() == first.read_bytes()


def test_insufficient_disk_space_is_rejected(store, model_file, no_links, monkeypatch):
    monkeypatch.setattr(import_file, "find_free_bytes", lambda folder: 1000)
    with pytest.raises(Exception, match=r"has 1\.0 kB; free some space"):
        store.import_file(model_file())
    assert names_in(store.layout.imported_folder) == []


def test_file_that_is_not_a_model_is_rejected(store, tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"<html>")
    with pytest.raises(ModelUnreadable):
        store.import_file(tmp_path / "m.gguf")
    assert not store.layout.imported_folder.exists()
