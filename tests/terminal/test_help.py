"""The help of every command: whole words in every width, examples that can be copied."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import typer
from command import LLMTOOL
from offenders import every
from terminal.screen import Terminal

from llmtool.cli.app import COMMANDS, app, load_command
from llmtool.cli.framework.default_group import DEFAULT, DefaultGroup
from llmtool.cli.framework.help import SECTIONS, help_record, use_help_page

Show = Callable[[tuple[str, ...], int], str]
WIDTHS = [100, 80, 60, 40, 30, 20]


def every_command() -> Iterator[tuple[str, ...]]:
    yield ()
    for name in COMMANDS:
        yield (name,)
        yield from ((name, child) for child in getattr(load_command(name), "commands", {}))


NAMES = [words for words in every_command() if words[1:] != (DEFAULT,)]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Return `show(words, columns)`: the help of a command as it is printed in that width."""

    @cache
    def helped(words: tuple[str, ...], columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        root = use_help_page(typer.main.get_command(app))
        root.main(args=[*words, "--help"], prog_name="llmtool", standalone_mode=False)
        return capsys.readouterr().out

    return helped


def joined(text: str) -> list[str]:
    """Return the words of a help text, the lines of its examples put together again."""
    return text.replace(" \\\n", "\n").split()


@every(words=NAMES, columns=WIDTHS)
def test_no_line_is_longer_than_the_terminal(
    show: Show, words: tuple[str, ...], columns: int
) -> None:
    text = show(words, columns)
    long = [line for line in text.splitlines() if len(line.removesuffix(" \\")) > columns]
    assert [line for line in long if len(joined(line + "\n")) > 1] == []
    assert all(len(line) <= columns for line in text.splitlines()) or columns < 80


@every(words=NAMES)
def test_no_word_is_broken(show: Show, words: tuple[str, ...]) -> None:
    command: Any = load_command(words[0]) if words else typer.main.get_command(app)
    command = command.commands[words[1]] if words[1:] else command
    command = command.default if isinstance(command, DefaultGroup) else command
    context = typer.Context(command, **command.context_settings)
    records = [help_record(param, context) for param in command.get_params(context)]
    said = " ".join([*(" ".join(each) for each in records if each), command.epilog or ""])
    shown = {columns: joined(show(words, columns)) for columns in WIDTHS}
    assert set(said.replace("\b", "").split()) <= set(shown[100])
    for columns in WIDTHS:
        assert shown[columns] == shown[100], columns


@every(words=NAMES, columns=WIDTHS[1:])
def test_a_wrapped_example_is_the_same_command(
    show: Show, words: tuple[str, ...], columns: int
) -> None:
    def examples(text: str) -> list[str]:
        _, _, text = text.partition("\n  Example")
        lexer = shlex.shlex(text.replace("\\\n", ""), posix=True, punctuation_chars="\n")
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " ", True, ""
        return [" ".join(token.split()) for token in lexer]  # the end of a line is an empty one

    assert examples(show(words, columns)) == examples(show(words, 100))


def test_help_moves_below_the_option_on_narrow_terminals(
    env: dict[str, str],
) -> None:
    with Terminal([*LLMTOOL, "gen", "--help"], env, columns=40, lines=400) as terminal:
        assert terminal.exit_status == 0
        rows = terminal.screen()
    at = rows.index("  -s, --system TEXT")
    assert rows[at + 1] == "      System prompt."
    with Terminal([*LLMTOOL, "gen", "--help"], env, lines=400) as terminal:
        assert terminal.exit_status == 0
        assert "  -s, --system TEXT                System prompt." in terminal.screen()


def test_options_are_in_sections(show: Show) -> None:
    for words in NAMES:
        text = show(words, 100)
        found = [line[:-1] for line in text.splitlines() if re.fullmatch(r"\w+:", line)]
        assert [name for name in found if name in SECTIONS] == [
            name for name in SECTIONS if name in found
        ], words
    found = [name for name in SECTIONS if f"\n{name}:\n" in show(("gen",), 100)]
    assert found == [name for name in SECTIONS if name != "Options"]


def test_most_options_take_one_line_in_100_columns(show: Show) -> None:
    for words in (("gen",), ("translate",), ("classify",), ("code",), ("models", "pull")):
        lines = show(words, 100).partition("Arguments:")[2].splitlines()
        options = [line for line in lines if line.startswith("  -")]
        wrapped = [line for line in lines if line.startswith(" " * 20)]
        assert len(wrapped) <= len(options) / 8, words
