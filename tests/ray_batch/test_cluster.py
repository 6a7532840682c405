"""The folder of a local cluster."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmtool.errors import ServerError
from llmtool.ray import cluster

PAGE = Path(__file__).resolve().parents[2] / "docs" / "remote.md"


def test_folder_of_a_running_process_remains_and_that_of_a_killed_one_is_removed() -> None:
    with cluster.private_folder() as left:
        (left / "kept").touch()
        with cluster.private_folder() as folder:
            assert (left / "kept").exists() and folder != left
    (left / "socket").mkdir(parents=True)
    (left / "lock").touch()  # no process has it locked
    with cluster.private_folder():
        assert not left.exists()
    assert not folder.exists()


def test_folder_that_another_process_removes_before_it_is_locked_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Path] = []
    make, lock = tempfile.mkdtemp, cluster.lock_descriptor

    def make_folder(**options: str) -> str:
        made.append(Path(make(**options)))
        return str(made[-1])

    def lock_late(descriptor: int) -> bool | None:
        if len(made) == 1:  # two commands start at once
            shutil.rmtree(made[0])
        return lock(descriptor)

    monkeypatch.setattr(tempfile, "mkdtemp", make_folder)
    monkeypatch.setattr(cluster, "lock_descriptor", lock_late)
    with cluster.private_folder() as folder:
        assert folder == made[1] and (folder / "lock").exists()


class FakeRay:
    """Ray whose start fails with each of the errors, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[str] = []

    def init(self, address: str, **options: Any) -> None:
        self.calls.append("init")
        if self.errors:
            raise self.errors.pop(0)

    def shutdown(self) -> None:
        self.calls.append("shutdown")


SLOW = Exception("The current node timed out during startup. This could happen because some of …")
# What a process of Ray that is killed while it starts leads to.
NO_INFO = TypeError("'NoneType' object is not subscriptable")


def test_local_cluster_that_is_slow_or_killed_is_started_again(tmp_path: Path) -> None:
    ray = FakeRay(SLOW, NO_INFO)
    cluster.connect(ray, "local", tmp_path, n_cpus=2)
    assert ray.calls == ["init", "shutdown"] * 2 + ["init"]


def test_local_cluster_that_never_starts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as error:
        cluster.connect(FakeRay(NO_INFO, NO_INFO, SLOW), "local", tmp_path, n_cpus=2)
    reason = "The current node timed out during startup; run the command again"
    assert str(error.value) == f"Ray cannot start on this machine: {reason}"


def test_other_cluster_is_not_started_again(tmp_path: Path) -> None:
    ray = FakeRay(ConnectionError("none"))
    with pytest.raises(ServerError, match="no Ray cluster runs on this machine"):
        cluster.connect(ray, "auto", tmp_path, n_cpus=2)
    assert ray.calls == ["init"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`")
def test_cluster_file_of_the_documentation_is_one_that_ray_up_accepts() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    shown = re.search(r"```yaml\n(# cluster.yaml\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    config = prepare_config(yaml.safe_load(shown[1]))
    validate_config(config)
    assert config["max_workers"] == 2  # one for each of `worker_ips`
