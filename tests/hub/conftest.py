"""Fixtures: a Hub server on loopback, and a client process with its own cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.client import run
from hub.hub_server import FakeHub
from in_process import call_in_process

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("client.py")
TOKEN = "hf_SecretTokenThatMustNotLeak"
REPO = "org/model-GGUF"
FILE = "model-Q4_K_M.gguf"


def content(size: int, seed: int = 1) -> bytes:
    block = hashlib.sha256(b"%d" % seed).digest() * 32
    return b"GGUF" + (block * (size // len(block) + 1))[: size - 4]


BIG = content(3_000_000)


class Client:
    """Runs `client.py` with the hub as its endpoint, and records all output.

    `run` and `pull` run it in this process, which is faster; `start` and `finish` in a child.
    """

    def __init__(self, hub: FakeHub, home: Path, *, token: str | None = TOKEN) -> None:
        self.cache = home / "hf" / "hub"
        self.data = home / "data"
        self.output = ""
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": hub.url,
            "LLMTOOL_DATA_DIR": str(self.data),
            "NO_PROXY": "*",
        }
        if token:
            self.env["HF_TOKEN"] = token

    def start(self, call: str, reference: str = REPO, **task: Any) -> subprocess.Popen[str]:
        arguments = json.dumps({"call": call, "reference": reference, **task})
        return subprocess.Popen(
            [sys.executable, "-X", "faulthandler", str(CLIENT), arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, child: subprocess.Popen[str], timeout: float = 60) -> dict[str, Any]:
        out, err = child.communicate(timeout=timeout)
        self.output += out + err
        assert child.returncode == 0, err
        assert err == "", err
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
        return result

    def run(self, call: str, reference: str = REPO, **task: Any) -> dict[str, Any]:
        task = {"call": call, "reference": reference, **task}
        result, out, err = call_in_process(lambda: run(task), env=self.env, cwd=ROOT)
        assert err == b"", err
        self.output += f"{(out or b'').decode()}{json.dumps(result)}\n"
        return result

    def pull(self, reference: str = REPO, **task: Any) -> dict[str, Any]:
        return self.run("pull", reference, **task)

    def visible(self) -> dict[str, bytes | None]:
        """Return the refs, blobs and snapshot files that other tools see (None: dangling link)."""
        seen: dict[str, bytes | None] = {}
        for path in sorted(self.cache.glob("models--*/snapshots/**/*")):
            if path.is_symlink() or path.is_file():
                name = str(path.relative_to(self.cache))
                seen[name] = path.read_bytes() if path.exists() else None
        for path in sorted(self.cache.glob("models--*/refs/**/*")):
            if path.is_file():
                seen[str(path.relative_to(self.cache))] = path.read_bytes()
        for path in sorted(self.cache.glob("models--*/blobs/*")):
            if not path.name.endswith(".incomplete"):
                seen[str(path.relative_to(self.cache))] = path.read_bytes()
        return seen

    def parts(self) -> list[Path]:
        return sorted(self.cache.glob("models--*/blobs/*.llmtool.incomplete"))


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        server.add(REPO, {FILE: BIG, "README.md": b"# A model"})
        yield server


@pytest.fixture
def client(hub: FakeHub, tmp_path: Path) -> Iterator[Client]:
    made = Client(hub, tmp_path)
    yield made
    assert TOKEN not in made.output
    for seen in hub.seen:
        if seen.where == "cdn":
            assert "authorization" not in seen.headers
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes()
