"""Work with downloaded models without a network."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from hub.conftest import BIG, FILE, REPO
from hub.hub_server import wait_until


@pytest.fixture
def pulled(client):
    client.pull()
    return client


@pytest.mark.parametrize("call", ["find", "get", "verify", "remove"])
def test_cached_model_uses_no_socket(hub, pulled, call):
    seen = len(hub.seen)
    result = pulled.finish(pulled.start(call, no_sockets=True))
    assert "error" not in result
    assert len(hub.seen) == seen


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_cached_model_makes_no_socket_system_call(hub, pulled, tmp_path):
    from hub.conftest import CLIENT

    log = tmp_path / "strace.log"
    task = json.dumps({"call": "get", "reference": REPO})
    subprocess.run(
        ["strace", "-f", "-e", "trace=network", "-o", log, sys.executable, CLIENT, task],
        env=pulled.env, check=True, capture_output=True,
    )  # fmt: skip
    assert "socket(" not in log.read_text()


def test_verify_works_offline_and_detects_changed_byte(hub, pulled):
    assert pulled.run("verify", offline=True)["valid"] == [[FILE, True]]
    path = pulled.run("find")["path"]
    with open(path, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    assert pulled.run("find")["path"] == path  # the size is unchanged
    assert pulled.run("verify", offline=True)["valid"] == [[FILE, False]]


def test_remove_deletes_all_files_and_find_shows_pull_command(hub, pulled):
    assert pulled.run("remove")["removed"] == [["blob", len(BIG)]]
    assert pulled.visible() == {}
    assert "`llmtool models pull org/model-GGUF`" in pulled.run("find")["message"]
    assert json.loads((pulled.data / "models.json").read_text())["models"] == []


def test_prune_removes_interrupted_download(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=4)
    client.pull()
    assert client.run("prune")["removed"] == [["interrupted download", 1_000_000]]
    assert client.parts() == []


def test_prune_keeps_running_download(hub, client):
    hub.fail("cdn", "stall", after=1_000_000)
    child = client.start("pull", retry={"stall_seconds": 30})
    wait_until(lambda: bool(client.parts()) and hub.bytes_sent >= 1_000_000)
    assert client.run("prune")["removed"] == []
    child.send_signal(signal.SIGTERM)
    client.finish(child)
    assert len(client.parts()) == 1


def test_files_and_folders_are_private_to_the_user(hub, pulled):
    assert (pulled.data / "models.json").stat().st_mode & 0o777 == 0o600
    assert pulled.data.stat().st_mode & 0o777 == 0o700
