"""What is kept about a user is the user's alone, whatever the umask, in the whole of a home."""

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
prompt: "{} {{{{ text }}}}"
tests:
- vars: {{text: Go on}}
  assert: [{{type: not-contains, value: a parcel came}}]
"""

Run = Callable[..., Any]
# The file, or the folder of files, that comes of each command.
KEPT = {
    "config": (("config", "set", "temperature", "0.5"), "config/config.toml"),
    "models": (("models", "import", "MODEL", "--name", "own"), "data/models.json"),
    "log": (("gen", "hello", "--log", "-m", "MODEL", "--max-tokens", "3"), "data/sessions"),
    "session": (
        ("chat", "hello", "--session", "s", "-m", "MODEL", "--max-tokens", "3"),
        "data/sessions",
    ),
    "notes": (
        ("sum", "long.txt", "--strategy", "map-reduce", "--chunk-tokens", "100", "-m", "MODEL")
        + ("--max-tokens", "20"),
        "cache/notes",
    ),
    "prefix": (("run", "./own.yaml", "x", "-m", "MODEL", "--max-tokens", "3"), "cache/prefix"),
    "replies of tests": (("prompts", "test", "./own.yaml", "-m", "MODEL"), "cache/tests"),
}


def assert_private(home: Path, kept: str) -> None:
    """What is at `kept` is 0600 in 0700, and nothing beside it is open."""
    path = home / kept
    assert path.is_file() or list(path.iterdir()), f"{kept} was not written"
    for each in home.rglob("*"):
        if each.suffix == ".gguf":  # weights say nothing of their user, and their folder is closed
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


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
@pytest.mark.parametrize(("words", "kept"), KEPT.values(), ids=KEPT)
def test_what_a_command_keeps_is_its_owners_alone(
    run_llmtool_process: Run, home: Path, tiny: Path, words: tuple[str, ...], kept: str, umask: int
) -> None:
    named = [str(tiny) if word == "MODEL" else word for word in words]
    done = run_llmtool_process(*named, preexec_fn=lambda: os.umask(umask))
    assert done.returncode in (0, 15, 17), done.stderr.decode()
    assert_private(home, kept)


def test_what_was_typed_in_a_chat_is_its_owners_alone(
    env: dict[str, str], home: Path, tiny: Path
) -> None:
    line = ["sh", "-c", 'umask 000; exec "$@"', "sh", *LLMTOOL, "chat", "-m", tiny]
    with Terminal([*line, "--max-tokens", "3"], env) as terminal:
        wait_for_prompt(terminal)
        terminal.send("hello\r")
        wait_for_prompt(terminal, 2)
        terminal.send("\x04")
        assert terminal.exit_status == 0
    assert_private(home, "data/chat_history")
