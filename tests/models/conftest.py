"""Fixtures: a store in a temporary folder, and files in the layout of the Hub cache."""

import hashlib
import os

import pytest

from llmtool.config import Folders
from llmtool.models import installed
from llmtool.models.store import Store

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def write(tmp_path):
    """Return `write(content, name)`, which creates a file."""

    def write(content, name="m.gguf"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def folders(tmp_path):
    return Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )


@pytest.fixture
def store(folders, monkeypatch):
    monkeypatch.setattr(installed, "find_starter", lambda: None)
    return Store(folders)


@pytest.fixture
def cached(folders):
    """Return `add(repo, name, content, commit, revision)`, which adds a file to the Hub cache."""

    def add(repo, name, content=b"GGUF", *, commit=COMMIT, revision="main"):
        folder = folders.hub_cache / f"models--{repo.replace('/', '--')}"
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        link = folder / "snapshots" / commit / name
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
        if revision:
            ref = folder / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit)
        return link

    return add
