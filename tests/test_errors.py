"""Errors that do not belong to one module."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from llmtool.errors import install_command


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (None, "pip install 'llmtool[pdf]'"),
        ({"dir_info": {}}, "pip install '{folder}[pdf]'"),
        ({"dir_info": {"editable": True}}, "pip install -e '{folder}[pdf]'"),
        (
            {"url": "https://host/o/llmtool", "vcs_info": {"vcs": "git", "commit_id": "a"}},
            "pip install 'llmtool[pdf] @ git+https://host/o/llmtool'",
        ),
        (
            {"url": "file:///w/llmtool.whl", "archive_info": {}},
            "pip install 'llmtool[pdf] @ file:///w/llmtool.whl'",
        ),
        ({"url": "file:///removed", "dir_info": {}}, "pip install 'llmtool[pdf]'"),
        ("{", "pip install 'llmtool[pdf]'"),
    ],
    ids=["index", "folder", "editable", "git", "wheel", "removed", "invalid"],
)
def test_extra_is_installed_from_where_the_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, command: str
) -> None:
    if isinstance(source, dict):
        source = json.dumps({"url": tmp_path.as_uri(), **source})

    class Distribution:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return source

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    assert install_command("pdf") == command.format(folder=tmp_path)
