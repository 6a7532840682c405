"""Servers of other projects on the starter model: llama-server and the one of llama-cpp-python.

`LLAMA_SERVER` is the path of llama-server, if it is not on the search path. The other one needs
`pip install 'llama-cpp-python[server]'`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtool.config import Folders, Settings
from llmtool.toolbox import Toolbox

pytestmark = pytest.mark.long

TEXTS = ["The striker scored twice.", "Parliament passed the budget.", "I like <|im_end|> chips."]
LABELS = ["sport", "sports", "politics", "technology"]
Open = Callable[..., Toolbox]


def start(name: str, model: Path, port: int) -> subprocess.Popen[bytes]:
    path = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    if name == "llama-server":
        if path is None:
            pytest.skip("llama-server is not installed")
        command = [path, "-m", model, "--port", port, "-c", 4096, "-np", 2]
    else:
        if importlib.util.find_spec("starlette_context") is None:
            pytest.skip("llama-cpp-python[server] is not installed")
        command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--port", port]
        command += ["--n_ctx", 2048, "--logits_all", "true"]
    null = subprocess.DEVNULL
    return subprocess.Popen([*map(str, command)], stdout=null, stderr=null, stdin=null)


@pytest.fixture(params=["llama-server", "llama-cpp-python"], scope="module")
def server(request: pytest.FixtureRequest, starter: Path) -> Iterator[tuple[str, str]]:
    """Return the name and the URL of a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(request.param, starter, port)
    url = f"http://localhost:{port}/v1"
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/models", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.2)
        yield request.param, url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def open_box(tmp_path: Path) -> Iterator[Open]:
    boxes = []

    def open_box(model: object = None, **options: object) -> Toolbox:
        folder = tmp_path / str(len(boxes))
        folders = Folders(config=folder, data=folder, cache=folder, hub_cache=folder)
        settings = Settings(offline=False)
        boxes.append(Toolbox(model, folders=folders, settings=settings, environ={}, **options))  # type: ignore[arg-type]
        return boxes[-1]

    yield open_box
    for box in boxes:
        box.close()


@pytest.mark.timeout(300)
def test_labels_are_scored_as_on_this_machine(
    server: tuple[str, str], starter: Path, open_box: Open
) -> None:
    name, url = server
    local, remote = open_box(starter), open_box(base_url=url)
    labels = LABELS if name == "llama-server" else [each for each in LABELS if each != "sports"]
    for text in TEXTS:
        found = remote.classify(text, labels, calibrate="none")
        if name == "llama-server":
            expected = local.classify(text, labels, calibrate="none")
            assert found.scoring == "exact"
            assert found.scores == pytest.approx(expected.scores, abs=0.02)
            assert found.logprobs == pytest.approx(expected.logprobs, abs=0.1)
            found, expected = remote.classify(text, labels), local.classify(text, labels)
            assert found.scores == pytest.approx(expected.scores, abs=0.02)
        else:
            assert found.scoring == "top-k"
            assert 0 < found.coverage < 1


def test_replies_and_schemas(server: tuple[str, str], open_box: Open) -> None:
    box = open_box(base_url=server[1])
    assert box.generate("Name a river.", temperature=0, max_tokens=12).usage.completion_tokens == 12
    reply = box.generate("Ann is 30 years old.", schema="name, age int", temperature=0)
    assert reply.value["age"] == 30
    assert len(box.generate(["a", "b", "c"], temperature=0, max_tokens=3)) == 3
    assert "".join(map(str, box.stream_generate("Say hello.", temperature=0, max_tokens=5)))
