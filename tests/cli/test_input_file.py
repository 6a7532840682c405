"""A file that is not there: one line and 14, whatever the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from command import error_line

COMMANDS: dict[str, tuple[str, ...]] = {
    "gen": ("gen", "-f", "in.txt"),
    "run": ("run", "gen", "-f", "in.txt"),
    "classify": ("classify", "--label", "a", "--label", "b", "-f", "in.txt"),
    "classify eval": ("classify", "eval", "in.txt"),
    "sum": ("sum", "in.txt"),
    "translate": ("translate", "--to", "fr", "-f", "in.txt"),
    "glossary": ("translate", "hello", "--to", "fr", "--glossary", "in.txt"),
    "code": ("code", "sort", "-f", "in.txt"),
    "code explain": ("code", "explain", "in.txt:1"),
    "code review": ("code", "review", "-f", "in.txt"),
    "code fix": ("code", "fix", "in.txt", "-e", "fails"),
    "code complete": ("code", "complete", "in.txt:1"),
    "code tests": ("code", "tests", "in.txt"),
    "lines": ("gen", "--each", "line", "-f", "in.txt"),
    "rows": ("gen", "--each", "csv", "-f", "in.txt"),
}


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_a_file_that_is_not_there_is_told_with_its_name(
    run_llmtool: Callable[..., Any], args: tuple[str, ...]
) -> None:
    line = error_line(run_llmtool(*args, "-m", "none.gguf"), 14)
    assert line.startswith("llmtool: in.txt: no such file")
