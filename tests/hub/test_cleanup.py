"""What can be done, without a network, with models that were pulled."""

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
def test_a_cached_run_uses_no_socket(hub, pulled, call):
    seen = len(hub.seen)
    result = pulled.run(call, no_sockets=True)
    assert "error" not in result
    assert len(hub.seen) == seen


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_cached_run_makes_no_socket_call(hub, pulled, tmp_path):
    from hub.conftest import CLIENT

    log = tmp_path / "strace.log"
    task = json.dumps({"call": "get", "reference": REPO})
    subprocess.run(
        ["strace", "-f", "-e", "trace=network", "-o", log, sys.executable, CLIENT, task],
        env=pulled.env, check=True, capture_output=True,
    )  # fmt: skip
    assert "socket(" not in log.read_text()


def test_verify_works_offline_and_finds_a_flipped_byte(hub, pulled):
    assert pulled.run("verify", offline=True)["sound"] == [[FILE, True]]
    path = pulled.run("find")["path"]
    with open(path, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    assert pulled.run("find")["path"] == path  # the size is right
    assert pulled.run("verify", offline=True)["sound"] == [[FILE, False]]


def test_remove_leaves_nothing_and_find_says_how_to_get_it_back(hub, pulled):
    assert pulled.run("remove")["removed"] == [["blob", len(BIG)]]
    assert pulled.visible() == {}
    assert "`llmtool models pull org/model-GGUF`" in pulled.run("find")["message"]
    assert json.loads((pulled.data / "models.json").read_text())["models"] == []


def test_prune_removes_an_interrupted_download(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=4)
    client.pull()
    assert client.run("prune")["removed"] == [["interrupted download", 1_000_000]]
    assert client.parts() == []


def test_prune_keeps_a_running_download(hub, client):
    hub.fail("cdn", "stall", after=1_000_000)
    child = client.start("pull", retry={"stall_seconds": 30})
    wait_until(lambda: bool(client.parts()) and hub.bytes_sent >= 1_000_000)
    assert client.run("prune")["removed"] == []
    child.send_signal(signal.SIGTERM)
    client.finish(child)
    assert len(client.parts()) == 1


def test_files_and_folders_are_private(hub, pulled):
    assert (pulled.data / "models.json").stat().st_mode & 0o777 == 0o600
    assert pulled.data.stat().st_mode & 0o777 == 0o700
