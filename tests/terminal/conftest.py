"""Fixtures for a chat with the scripted engine in a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal.screen import Terminal
from terminal.talk import SCRIPT, Start

from llmtool.sessions.store import Sessions


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "data" / "sessions")


@pytest.fixture
def chat(env: dict[str, str], tmp_path: Path) -> Start:
    """Return `chat(replies, **script)`: a conversation with the scripted engine."""

    def start(
        replies: Any = "fine",
        *,
        columns: int = 80,
        lines: int = 24,
        variables: dict[str, str] | None = None,
        **script: Any,
    ) -> Terminal:
        argv = [sys.executable, SCRIPT, tmp_path, json.dumps({"replies": replies, **script})]
        variables = {"TERM": "xterm-256color", **(variables or {})}
        return Terminal(argv, {**env, **variables}, columns=columns, lines=lines, cwd=tmp_path)

    return start
