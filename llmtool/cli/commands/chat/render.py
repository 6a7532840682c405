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
from llmtool.cli.terminal import console, signals, tty
from llmtool.engine.types import Token
from llmtool.errors import Cancelled
from llmtool.sessions.types import Turn
from llmtool.tasks.chat.responder import ChatNote

if TYPE_CHECKING:
    from rich.console import Console

    from llmtool.cli.render.markdown import MarkdownStream
    from llmtool.tasks.chat.chat import Told


class ReplyView:
    """Shows events; an unfinished reply is ended by `end`, whatever has ended it."""

    def __init__(self, *, draws: bool) -> None:
        """`draws` says that stdout is a terminal that can be drawn on."""
        self._markdown = _open_markdown() if draws else None
        self._n_reasoning = 0
        self._reasoning_began = 0.0
        self._has_text = False
        self._late: list[str] = []  # notes that came behind text, which would cut its line

    def show(self, events: Generator[Told, None, None]) -> Turn:
        """Show a reply as it comes, and return its turn.

        Raises:
            As the events do; what has come is shown.
        """
        console.status("...")
        try:
            with tty.silent_keys(), closing(events):  # what was said is kept by then
                turn = self._follow(events)
        except Cancelled:
            signals.forget_interrupt()  # nothing can be written before
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
                console.note(event.text)
                console.status("...")
            else:
                turn = event
        assert turn is not None
        return turn

    def _close(self) -> None:
        console.status("")
        self._fold_reasoning()
        self._end()
        for text in self._late:
            console.note(text)
        self._late, self._has_text = [], False

    def replay(self, text: str) -> None:
        """Show a reply that is complete."""
        self._write(text)
        self._end()

    def _take(self, token: Token) -> None:
        if token.reasoning:
            self._n_reasoning += 1
            self._reasoning_began = self._reasoning_began or time.perf_counter()
            console.status(f"thinking: {self._n_reasoning} tokens")
            return
        self._fold_reasoning()
        self._has_text = self._has_text or bool(token.text)
        self._write(token.text)

    def _fold_reasoning(self) -> None:
        if self._n_reasoning:
            seconds = time.perf_counter() - self._reasoning_began
            console.status("")
            console.note(f"thought for {seconds:.1f} s (/reasoning shows it)")
            self._n_reasoning, self._reasoning_began = 0, 0.0

    def _write(self, text: str) -> None:
        if self._markdown is None:
            console.stdout.write(text)
        elif text:
            console.status("")
            self._markdown.push(text)

    def _end(self) -> None:
        if self._markdown is not None:
            self._markdown.end()
            tables.draw_text("\n")
        console.stdout.end_line()


def _open_markdown() -> MarkdownStream:
    from llmtool.cli.render.markdown import MarkdownStream

    return MarkdownStream(tables.draw_text, size=tables.terminal_size, console=_console)


def _console(columns: int) -> Console:
    return tables.make_console(columns)


def can_draw() -> bool:
    """Whether stdout is a terminal on which rows can be taken back."""
    return console.is_terminal(console.STDOUT) and os.environ.get("TERM", "dumb") != "dumb"


def plain(events: Generator[Told, None, None]) -> Turn:
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


def json_lines(events: Generator[Told, None, None]) -> Turn:
    """Write each event as a line of JSON: `token`, `reasoning`, `note`, and `turn` at the end."""
    turn: Turn | None = None
    with closing(events):
        for event in events:
            if isinstance(event, Token):
                _line({"event": "reasoning" if event.reasoning else "token", "text": event.text})
            elif isinstance(event, ChatNote):
                _line({"event": "note", "text": event.text})
            else:
                turn = event
                told = {name: getattr(turn, name) for name in turn.__struct_fields__}
                _line({"event": "turn", **msgspec.to_builtins(told)})
    assert turn is not None
    return turn


def _line(value: dict[str, object]) -> None:
    console.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
