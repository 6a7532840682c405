"""A process that dies at any change of a file: imports, removals and downloads can be repeated.

`test_kill.py` kills at random times; here a process kills itself before its first change of a file,
then before its second, and so on, until it survives.
"""

from __future__ import annotations

import importlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import linux
from fork_server import start as start_process
from hub.conftest import FILE, REPO, content
from hub.hub_server import FakeHub

from llmtool.config import Folders
from llmtool.models import registry
from llmtool.models.store import Store
from llmtool.temporary import SUFFIX

CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "open"}
DIE = f"""
import os, signal, sys
from pathlib import Path
from llmtool.config import Folders
from llmtool.models.store import Store
folder, number = Path(sys.argv[1]), int(sys.argv[2])
store = Store(
    Folders(config=folder, data=folder / "data", cache=folder, hub_cache=folder / "hub"),
    endpoint=sys.argv[3] or None,
)
def die(event, args):
    global number
    if event in {CHANGES} and str(folder) in str(args) and (event != "open" or args[2] & 0o100):
        number -= 1
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
"""


def open_store(folder: Path, endpoint: str | None = None) -> Store:
    folders = Folders(config=folder, data=folder / "data", cache=folder, hub_cache=folder / "hub")
    return Store(folders, endpoint=endpoint)


@pytest.fixture
def die_at(env: dict[str, str], tmp_path: Path) -> Callable[..., Iterator[Path]]:
    """Return `die_at(action, prepare, endpoint)`: yield the folder that each dead process left."""

    def run(
        action: str, prepare: Callable[[Path], object], *, endpoint: str = ""
    ) -> Iterator[Path]:
        script = tmp_path / "die.py"
        script.write_text(DIE + action)
        online = {**env, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint, "NO_PROXY": "*"}
        for number in range(100):
            folder = tmp_path / f"at-{number}"
            folder.mkdir()
            prepare(folder)
            process = start_process(
                [sys.executable, script, folder, str(number), endpoint],
                env=online,
                stdin=subprocess.DEVNULL,
            )
            code = process.wait(60)
            assert code in (0, -signal.SIGKILL)
            yield folder
            shutil.rmtree(folder)
            if code == 0:
                assert number > 3
                return
        raise AssertionError("it never survives")

    return run


@pytest.fixture(params=[1, 2], ids=["file", "parts"])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> list[Path]:
    """The files of a model, which is whole or split."""
    if request.param == 1:
        return [tiny_model("plain")]
    return [tiny_model(metadata={"split.no": no, "split.count": 2}) for no in range(2)]


def put(model: list[Path], folder: Path) -> str:
    """Copy the files of a model to a folder; return the name of the first."""
    names = ["m.gguf", *(f"m-0000{no}-of-00002.gguf" for no in (1, 2))]
    names = names[1:] if len(model) > 1 else names[:1]
    for path, name in zip(model, names, strict=True):
        shutil.copy(path, folder / name)
    return names[0]


def check_models(folder: Path, names: set[str]) -> None:
    """Check that the models are complete, and that no other file is left after `prune`."""
    store = open_store(folder)
    store.prune()
    known = {model.name: model for model in store.list() if model.source == "imported"}
    assert set(known) == names
    assert all(each.is_valid for name in names for each in store.verify(name))
    parts = {part.name for model in known.values() for part in model.parts}
    assert {path.name for path in (folder / "data" / "models").glob("*")} == parts
    assert {each.name for each in registry.load(folder / "data" / "models.json").models} == names
    assert not [*folder.rglob(f"*{SUFFIX}")]


IMPORT = "store.import_file(next(folder.glob('*1-of-*')) if {} else folder / 'm.gguf', name='m')"


@linux
def test_import_that_dies_can_be_repeated_and_what_it_leaves_removed(
    die_at: Callable[..., Iterator[Path]], model: list[Path], tmp_path: Path
) -> None:
    for folder in die_at(IMPORT.format(len(model) > 1), lambda folder: put(model, folder)):
        copy = shutil.copytree(folder, tmp_path / "copy")
        open_store(copy).prune()
        known = open_store(copy).list()
        check_models(copy, {each.name for each in known if each.source == "imported"})
        shutil.rmtree(copy)
        store = open_store(folder)
        if not any(each.source == "imported" for each in store.list()):
            store.import_file(folder / put(model, folder), name="m")
        check_models(folder, {"m"})
        store.remove("m")
        check_models(folder, set())


@linux
def test_removal_that_dies_can_be_repeated(
    die_at: Callable[..., Iterator[Path]], model: list[Path]
) -> None:
    def import_it(folder: Path) -> None:
        open_store(folder).import_file(folder / put(model, folder), name="m")

    for folder in die_at("store.remove('m')", import_it):
        store = open_store(folder)
        if any(each.name == "m" for each in store.list()):
            store.remove("m")
        check_models(folder, set())


@linux
def test_download_that_dies_can_be_repeated_and_removed(
    die_at: Callable[..., Iterator[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    big = content(100_000)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    constants = importlib.import_module("huggingface_hub.constants")  # of this process
    with FakeHub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        hub.add(REPO, {FILE: big})
        action = f"store.download(store.plan({REPO!r}))"
        for folder in die_at(action, lambda folder: None, endpoint=hub.url):
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            store = open_store(folder, hub.url)
            repo = folder / "hub" / f"models--{REPO.replace('/', '--')}"
            assert {path.name for path in (repo / "refs").glob("*")} <= {"main"}
            model = store.download(store.plan(REPO))
            assert model.path.read_bytes() == big
            store.remove(REPO)
            store.prune()
            left = [path for path in (folder / "hub").rglob("*") if ".locks" not in path.parts]
            assert left in ([], [folder / "hub" / ".locks"])
