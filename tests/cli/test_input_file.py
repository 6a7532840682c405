"""A missing input file is an error in one line with exit code 14 for every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from command import READERS, error_line

COMMANDS = {
    **READERS,
    "glossary": ("translate", "hello", "--to", "fr", "--glossary", "in.txt"),
    "lines": ("gen", "--each", "line", "-f", "in.txt"),
}


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_missing_file_is_reported_with_its_name(
    run_llmtool: Callable[..., Any], args: tuple[str, ...]
) -> None:
    line = error_line(run_llmtool(*args, "-m", "none.gguf"), 14)
    assert line.startswith("llmtool: in.txt: no such file")
