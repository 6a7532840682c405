"""`llmtool serve` as a process: its options, signals, and what it prints."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Process = subprocess.Popen[bytes]
TEMPLATE = 'llmtool: 1\nname: hi\ninputs: {who: {type: text}}\nprompt: "Hi {{ who }}"\n'


class Running:
    """A server process, its URL, and the lines that it has printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        assert process.stderr
        line = process.stderr.readline().decode()
        found = re.search(r"http://(\S+)", line)
        assert found, line
        self.url, self.address = found[0], found[1]

    def get(self, path: str, **headers: str) -> Any:
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


@pytest.fixture
def start(start_llmtool: Callable[..., Process], tiny: Path) -> Callable[..., Running]:
    """Return `start(*options)`, which starts a server on a free port."""

    def start(*options: object, model: Path = tiny) -> Running:
        arguments = ("serve", "-m", model, "--port", 0, "--threads", 1, *options)
        return Running(start_llmtool(*map(str, arguments), stdin=subprocess.DEVNULL))

    return start


def test_functions_are_those_of_the_folder(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "hi.yaml").write_text(TEMPLATE)
    server = start("--functions", tmp_path)
    assert [each["name"] for each in server.get("/v1/functions")["data"]] == ["hi"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no such file"), ("empty", "no valid template"), ("file", "not a directory")],
)
def test_a_folder_without_templates_is_an_error(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    result = run_llmtool("serve", "-m", tiny, "--functions", tmp_path / name)
    assert result.returncode == 14
    assert message in result.stderr.decode().lower()
