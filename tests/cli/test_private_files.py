"""Files with user data have mode 0600 in folders with mode 0700, with any umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL
from terminal.screen import Terminal
from terminal.talk import wait_for_prompt

TEMPLATE = """llmtool: 1
name: own
inputs: {{text: {{type: text}}}}
model: {{params: {{max_tokens: 20}}}}
prompt: "{} {{{{ text }}}}"
tests:
- vars: {{text: Continue}}
  assert: [{{type: not-contains, value: a parcel came}}]
"""

Run = Callable[..., Any]
# The file or folder that each command creates.
SAVED = {
    "config": (("config", "set", "temperature", "0.5"), "config/config.toml"),
    "models": (("models", "import", "MODEL", "--name", "own"), "data/models.json"),
    "log": (("gen", "hello", "--log", "-m", "MODEL", "--max-tokens", "3"), "data/sessions"),
    "session": (
        ("chat", "hello", "--session", "s", "-m", "MODEL", "--max-tokens", "3"),
        "data/sessions",
    ),
    "self-tests": (("sum", "long.txt", "-m", "MODEL"), "cache/self-tests"),
    "prefix": (("run", "./own.yaml", "x", "-m", "MODEL", "--max-tokens", "3"), "cache/prefix"),
    "replies of tests": (("prompts", "test", "./own.yaml", "-m", "MODEL"), "cache/tests"),
}


def assert_private(home: Path, saved: str) -> None:
    """Check that `saved` is private and that no other file is readable by others."""
    path = home / saved
    assert path.is_file() or list(path.iterdir()), f"{saved} was not written"
    for each in home.rglob("*"):
        if each.suffix == ".gguf":  # weights contain no user data, and their folder is private
            continue
        wanted = 0o700 if each.is_dir() else 0o600
        assert stat.S_IMODE(each.stat().st_mode) == wanted, each


@pytest.fixture
def home(env: dict[str, str], tmp_path: Path) -> Path:
    (tmp_path / "cwd").mkdir(exist_ok=True)
    long = "the quick brown fox jumps over a lazy dog " * 6
    (tmp_path / "cwd" / "own.yaml").write_text(TEMPLATE.format(long))
    (tmp_path / "cwd" / "long.txt").write_text("A parcel came to the hill by the river.\n\n" * 60)
    return Path(env["HOME"])


@pytest.mark.parametrize(
    "umask", [0o000, pytest.param(0o077, marks=pytest.mark.long)], ids=["000", "077"]
)
@pytest.mark.parametrize(("words", "saved"), SAVED.values(), ids=SAVED)
def test_saved_files_are_private(
    run_llmtool: Run, home: Path, tiny: Path, words: tuple[str, ...], saved: str, umask: int
) -> None:
    named = [str(tiny) if word == "MODEL" else word for word in words]
    before = os.umask(umask)
    try:
        done = run_llmtool(*named)
    finally:
        os.umask(before)
    assert done.returncode in (0, 15, 17), done.stderr.decode()
    assert_private(home, saved)


def test_chat_history_is_private(env: dict[str, str], home: Path, tiny: Path) -> None:
    line = ["sh", "-c", 'umask 000; exec "$@"', "sh", *LLMTOOL, "chat", "-m", tiny]
    with Terminal([*line, "--max-tokens", "3"], env) as terminal:
        wait_for_prompt(terminal)
        terminal.send("hello\r")
        wait_for_prompt(terminal, 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert_private(home, "data/chat_history")
