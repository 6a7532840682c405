"""The question for a model on the first run."""

from __future__ import annotations

import pytest

from llmtool.cli import first_run
from llmtool.cli.terminal.console import Console
from llmtool.config import Settings


def test_notes_wrap_at_words(
    console: Console, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reason = (
        "2.4 GB, installed; the best quality that this machine runs at more than 10 tokens a second"
    )
    rows = [("starter", reason), ("qwen3.5-4b", reason)]
    monkeypatch.setattr(first_run, "_suggestions", lambda **_: rows)
    monkeypatch.setattr(Console, "read", lambda *_: b"2\n")
    monkeypatch.setenv("COLUMNS", "60")
    assert first_run.ask(console, Settings()) == "qwen3.5-4b"
    first, *rest = [row for row in capfd.readouterr().err.splitlines() if row.startswith("  ")]
    assert first == "  1  starter     2.4 GB, installed; the best quality that"
    assert rest[0] == "                 this machine runs at more than 10 tokens a"
