"""The line editor of a chat, with typed keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from llmtool.cli.commands.chat.line_editor import EditedReader
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts


@pytest.fixture
def read() -> Iterator[Callable[..., str]]:
    """Return `read(keys, default)`: the line that the keys enter."""
    with (
        contextlib.closing(Console(Interrupts())) as console,
        create_pipe_input() as pipe,
        create_app_session(input=pipe, output=DummyOutput()),
    ):
        reader = EditedReader(console, history=None, complete=lambda _: (), status=lambda _: "")

        def enter(keys: str, default: str = "") -> str:
            pipe.send_text(keys)
            return reader.read(default)

        yield enter


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("one\r", "one"),
        ("one\r/exit\r", "one\n/exit"),
        ("one\n\n/exit\n", "one\n\n/exit"),
        ("\x1b[200~one\r/exit\r\x1b[201~\r", "one\n/exit\n"),
        ("one\r\x1b[1;1R", "one"),
    ],
    ids=["line", "pasted lines", "pasted paragraphs", "bracketed paste", "cursor position"],
)
def test_pasted_lines_are_one_message(read: Callable[..., str], keys: str, line: str) -> None:
    assert read(keys) == line


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("/undo\r", "/undo"),
        (" and\r", "line two and"),
        (" a/b\r", "line two a/b"),
        ("\r", "line two"),
    ],
)
def test_slash_replaces_the_text_to_edit(read: Callable[..., str], keys: str, line: str) -> None:
    assert read(keys, "line two") == line


def test_key_after_a_line_is_read_later(read: Callable[..., str]) -> None:
    assert read("one\r\x04") == "one"
    with pytest.raises(EOFError):
        read("")
