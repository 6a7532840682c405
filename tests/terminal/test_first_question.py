"""On first use at a terminal, the command asks for a model and saves the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import LLMTOOL
from terminal.screen import Terminal

ASK = ["gen", "List the months of the year.", "--temperature", "0", "--max-tokens", "12"]


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """An environment with Hub access; tests avoid downloads."""
    return {name: value for name, value in env.items() if name != "HF_HUB_OFFLINE"}


def config(env: dict[str, str]) -> Path:
    return Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml"


def test_answer_is_used_and_saved(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        terminal.wait_for("Enter a number")
        assert any("starter" in row and "98.4 MB" in row for row in terminal.screen())
        terminal.send("\r")
        assert terminal.exit_status == 0
        assert any("January" in row for row in terminal.screen())
    assert config(env).read_text() == 'model = "starter"\n'
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        assert terminal.exit_status == 0
        assert not any("Enter a number" in row for row in terminal.screen())


def test_path_is_accepted_as_answer(env: dict[str, str], tiny: Path) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        terminal.wait_for("Enter a number")
        terminal.send(f"{tiny}\r")
        assert terminal.exit_status == 0
    assert config(env).read_text() == f'model = "{tiny}"\n'


def test_invalid_answer_is_asked_again_and_not_saved(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100, lines=40) as terminal:
        for number, answer in enumerate(("99", "y", "no such thing"), 1):
            terminal.wait_until(
                lambda n=number: sum("Enter a number" in row for row in terminal.screen()) == n
            )
            terminal.send(f"{answer}\r")
        terminal.wait_until(lambda: sum("Enter a number" in row for row in terminal.screen()) == 4)
        terminal.send("1\r")
        assert terminal.exit_status == 0
    assert config(env).read_text() == 'model = "starter"\n'


def test_missing_model_is_not_saved(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        terminal.wait_for("Enter a number")
        terminal.send("/no/such.gguf\r")
        assert terminal.exit_status == 10
    assert not config(env).exists()


def test_empty_answer_uses_the_starter_and_saves_nothing(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        terminal.wait_for("Enter a number")
        terminal.send("\x04")
        assert terminal.exit_status == 0
        assert any("using the starter model" in row for row in terminal.screen())
    assert not config(env).exists()


def test_interrupt_at_the_question_ends_the_command(env: dict[str, str]) -> None:
    with Terminal([*LLMTOOL, *ASK], env, columns=100) as terminal:
        terminal.wait_for("Enter a number")
        terminal.send("\x03")
        assert terminal.exit_status == 130


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("code.py", "x = 1", "code.py is source code"),
        ("page.tex", "text", "page.tex is LaTeX"),
        ("rows.csv", "a,b", "rows.csv is a table"),
    ],
)
def test_file_that_cannot_be_translated_is_an_error_before_the_question(
    name: str, content: str, error: str, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    command = [*LLMTOOL, "translate", "-f", name, "--to", "de"]
    with Terminal(command, env, columns=100, cwd=tmp_path) as terminal:
        assert terminal.exit_status == 2
        assert any(error in row for row in terminal.screen())
        assert not any("Enter a number" in row for row in terminal.screen())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["translate", "--to", "de", "--each", "file", "-f", "a.tex", "-f", "b.c"], "is LaTeX"),
        (["translate", "--to", "de", "-f", "a.xlf"], "not well-formed XML"),
        (["translate", "--to", "de", "--bilingual", "-f", "a.json"], "bilingual output"),
        (
            ["translate", "--to", "de", "--each", "csv", "--field", "x", "-f", "t.csv"],
            "unknown col",
        ),
        (["sum", "--each", "file", "-f", "a.bin"], "a.bin"),
        (["classify", "--label", "good,bad", "--each", "file", "-f", "a.bin"], "a.bin"),
        (["gen", "Name it.", "--each", "file", "-f", "a.bin"], "a.bin"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_input_that_no_model_can_process_is_an_error_before_the_question(
    env: dict[str, str], tmp_path: Path, arguments: list[str], error: str
) -> None:
    (tmp_path / "a.tex").write_text("\\documentclass{article} Hello")
    (tmp_path / "b.c").write_text("int x;")
    (tmp_path / "a.xlf").write_text("<xliff><file></xliff>")
    (tmp_path / "a.json").write_text('{"title": "Hello"}')
    (tmp_path / "t.csv").write_text("id,name\n1,Ann\n")
    (tmp_path / "a.bin").write_bytes(b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 9)
    with Terminal([*LLMTOOL, *arguments], env, columns=200, cwd=tmp_path) as terminal:
        assert terminal.exit_status not in (0, None)
        rows = terminal.screen()
    assert not any("Enter a number" in row for row in rows)
    assert any(error in row for row in rows), rows
