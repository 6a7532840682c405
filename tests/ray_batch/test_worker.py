"""A worker, without Ray: what it opens, checks and returns."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from llmtool.cancellation import Cancellation
from llmtool.config import Settings, find_folders
from llmtool.engine.types import Failed
from llmtool.errors import ModelNotFound, UsageError
from llmtool.local_model import LocalModel
from llmtool.ray.spool import Spool, read_spool
from llmtool.ray.worker import Recipe, Worker, identify
from llmtool.tasks.generate.template import prepare_run
from llmtool.tasks.options import GenerateOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, PreparedTask
from llmtool.tasks.results import Generation


def prepare(context: TaskContext) -> PreparedTask:
    task = prepare_run(context, GenerateOptions(template="gen"))
    assert isinstance(task, PreparedTask)
    return task


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # a worker finds the folders of its node


def make_worker(model: Path, folder: Path, **changes: object) -> Worker:
    folders = find_folders({"HOME": str(folder)})
    opened = LocalModel(
        str(model),
        settings=Settings(),
        folders=folders,
        environ={},
        cancellation=Cancellation(),
    )
    context = TaskContext(
        opened, settings=Settings(), folders=folders, cancellation=opened.cancellation
    )
    identity = identify(context, prepare(context))
    file = msgspec.structs.replace(opened.file, **changes)
    arguments = {"reference": str(model), "settings": Settings(), "file": file}
    recipe = Recipe(model=arguments, prepare=prepare, format_option=lambda name, value: f"--{name}")
    return Worker(recipe, identity)


def test_outcomes_are_in_order_and_contain_failures(tiny: Path, tmp_path: Path) -> None:
    worker = make_worker(tiny, tmp_path)
    answer = worker.answer([Case(id=0, prompt="Go on"), Case(id=1), Case(id=2, prompt="And")])
    assert [type(each) for each in answer.outcomes] == [Generation, Failed, Generation]
    assert answer.error is None


def test_missing_model_names_the_node(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-7")
    worker = make_worker(tiny, tmp_path, parts=(tmp_path / "absent.gguf",))
    error = worker.answer([Case(prompt="Go on")]).error
    assert isinstance(error, ModelNotFound)
    assert str(error) == f"node gpu-7 has no {tmp_path}/absent.gguf; copy the model to each node"


def test_other_model_is_an_error(
    tiny: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-7")
    worker = make_worker(tiny, tmp_path, path=tiny_base, parts=(tiny_base,))
    error = worker.answer([Case(prompt="Go on")]).error
    assert isinstance(error, UsageError)
    assert "node gpu-7 has another model file" in str(error)


def test_spool_is_read_while_it_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "items")
    items = [b"", b"x" * 100_000, b"last"]
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(read_spool(tmp_path / "items")))
    reader.start()
    for item in items:
        spool.add(item)
    spool.end()
    reader.join(10)
    assert found == items
    assert list(read_spool(tmp_path / "items")) == items
