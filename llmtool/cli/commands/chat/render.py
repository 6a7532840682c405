"""A reply on its way to the reader: drawn on a terminal, plain in a pipe, or as JSON lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from llmtool.cli.render import tables
from llmtool.cli.terminal import tty
from llmtool.cli.terminal.console import Console
from llmtool.engine.types import Token
from llmtool.errors import Cancelled
from llmtool.sessions.types import Turn
from llmtool.tasks.chat.responder import ChatNote

if TYPE_CHECKING:
    from llmtool.cli.render.markdown import MarkdownStream
    from llmtool.tasks.chat.chat import Told


class ReplyView:
    """Shows events; an unfinished reply is ended by `end`, whatever has ended it."""

    def __init__(self, console: Console, *, draws: bool) -> None:
        """`draws` says that stdout is a terminal that can be drawn on."""
        self._console = console
        self._markdown = _open_markdown(console) if draws else None
        self._n_reasoning = 0
        self._reasoning_began = 0.0
        self._has_text = False
        self._late: list[str] = []  # notes that came behind text, which would cut its line

    def show(self, events: Generator[Told, None, None]) -> Turn:
        """Show a reply as it comes, and return its turn.

        Raises:
            As the events do; what has come is shown.
        """
        self._console.status("...")
        try:
            with tty.disable_echo(), closing(events):  # what was said is kept by then
                turn = self._follow(events)
        except Cancelled:
            self._console.interrupts.clear()  # nothing can be written before
            self._close()
            raise
        except BaseException:
            self._close()
            raise
        self._close()
        return turn

    def _follow(self, events: Generator[Told, None, None]) -> Turn:
        turn: Turn | None = None
        for event in events:
            if isinstance(event, Token):
                self._take(event)
            elif isinstance(event, ChatNote) and self._has_text:
                self._late.append(event.text)
            elif isinstance(event, ChatNote):
                self._console.note(event.text)
                self._console.status("...")
            else:
                turn = event
        assert turn is not None
        return turn

    def _close(self) -> None:
        self._console.status("")
        self._fold_reasoning()
        self._end()
        for text in self._late:
            self._console.note(text)
        self._late, self._has_text = [], False

    def replay(self, text: str) -> None:
        """Show a reply that is complete."""
        self._write(text)
        self._end()

    def _take(self, token: Token) -> None:
        if token.reasoning:
            self._n_reasoning += 1
            self._reasoning_began = self._reasoning_began or time.perf_counter()
            self._console.status(f"thinking: {self._n_reasoning} tokens")
            return
        self._fold_reasoning()
        self._has_text = self._has_text or bool(token.text)
        self._write(token.text)

    def _fold_reasoning(self) -> None:
        if self._n_reasoning:
            seconds = time.perf_counter() - self._reasoning_began
            self._console.status("")
            self._console.note(f"thought for {seconds:.1f} s (/reasoning shows it)")
            self._n_reasoning, self._reasoning_began = 0, 0.0

    def _write(self, text: str) -> None:
        if self._markdown is None:
            self._console.stdout.write(text)
        elif text:
            self._console.status("")
            self._markdown.push(text)

    def _end(self) -> None:
        if self._markdown is not None:
            self._markdown.end()
            self._console.stdout.write_raw("\n")
        self._console.stdout.end_line()


def _open_markdown(console: Console) -> MarkdownStream:
    from llmtool.cli.render.markdown import MarkdownStream

    return MarkdownStream(
        console.stdout.write_raw,
        size=lambda: console.size,
        console=lambda columns: tables.make_rich_console(console, columns),
    )


def can_draw(console: Console) -> bool:
    """Whether stdout is a terminal on which rows can be taken back."""
    return console.stdout.is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def plain(console: Console, events: Generator[Told, None, None]) -> Turn:
    """Write a reply to a pipe as it comes, a line end behind it; return its turn."""
    turn: Turn | None = None
    with closing(events):
        for event in events:
            if isinstance(event, Token):
                if not event.reasoning:
                    console.stdout.write(event.text)
            elif isinstance(event, ChatNote):
                console.note(event.text)
            else:
                turn = event
    console.stdout.end_line()
    assert turn is not None
    return turn


def json_lines(console: Console, events: Generator[Told, None, None]) -> Turn:
    """Write each event as a line of JSON: `token`, `reasoning`, `note`, and `turn` at the end."""
    turn: Turn | None = None
    with closing(events):
        for event in events:
            if isinstance(event, Token):
                _line(
                    console,
                    {"event": "reasoning" if event.reasoning else "token", "text": event.text},
                )
            elif isinstance(event, ChatNote):
                _line(console, {"event": "note", "text": event.text})
            else:
                turn = event
                told = {name: getattr(turn, name) for name in turn.__struct_fields__}
                _line(console, {"event": "turn", **msgspec.to_builtins(told)})
    assert turn is not None
    return turn


def _line(console: Console, value: dict[str, object]) -> None:
    console.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
