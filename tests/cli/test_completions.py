"""Completion scripts are current and valid in their shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from llmtool.cli.app import root_command
from llmtool.cli.framework.completion import script

FOLDER = Path(__file__).resolve().parent.parent.parent / "completions"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_current(shell: str) -> None:
    written = (FOLDER / f"llmtool.{shell}").read_text()
    assert written == script(shell, root_command()), (
        f"run: llmtool completions {shell} > completions/llmtool.{shell}"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_accepts_its_script(shell: str) -> None:
    binary = shutil.which(shell)
    if binary is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([binary, "-n", FOLDER / f"llmtool.{shell}"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def complete(*words: str) -> list[str]:
    """Return the completions of bash for these words; the last one is incomplete."""
    listed = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"source '{FOLDER}/llmtool.bash'; COMP_WORDS=({listed}); "
            'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _llmtool; printf "%s\\n" "${COMPREPLY[@]}"',
        ],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["llmtool", "g"], ["gen"]),
        (["llmtool", "models", "in"], ["info"]),
        (["llmtool", "gen", "--tempe"], ["--temperature"]),
        (["llmtool", "gen", "--errors", ""], ["strict", "replace"]),
        (["llmtool", "gen", "-q", "--max-t"], ["--max-tokens"]),
        (["llmtool", "completions", "b"], ["bash"]),
        (["llmtool", "gen", "-f", "llmtool.b"], ["llmtool.bash"]),
        (["llmtool", "gen", "--seed", ""], []),
        (["llmtool", "models", "info", "--js"], ["--json"]),
        (["llmtool", "classify", "--mul"], ["--multi"]),
        (["llmtool", "classify", "e"], ["eval"]),
        (["llmtool", "code", "te"], ["tests"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bash_completions(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered
