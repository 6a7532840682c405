"""Fixtures for the command: the sessions of its user."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtool.sessions.store import Sessions


@pytest.fixture
def sessions(env: dict[str, str]) -> Sessions:
    return Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
