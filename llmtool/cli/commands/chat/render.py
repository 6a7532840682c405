"""Show replies while they are generated: as Markdown, plain text or JSON lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

from llmtool.cli.render import tables
from llmtool.cli.terminal import tty
from llmtool.cli.terminal.console import Console, to_json
from llmtool.engine.types import Token
from llmtool.errors import Cancelled
from llmtool.sessions.types import Turn
from llmtool.tasks.chat.truncation import ChatNote

if TYPE_CHECKING:
    from llmtool.cli.render.markdown import MarkdownStream
    from llmtool.tasks.chat.chat import ChatEvent


class ReplyView:
    """Shows one reply: as Markdown if the terminal supports it, else as plain text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._markdown = _open_markdown(console) if can_draw(console) else None
        self._n_reasoning = 0
        self._reasoning_began = 0.0
        self._has_text = False
        self._late: list[str] = []  # notes to show after the text
        self._resumed = False  # after Ctrl-Z; the shell has written to the terminal

    def show(self, events: Generator[ChatEvent, None, None]) -> Turn:
        """Show a reply while it is generated, and return its turn.

        Raises:
            LlmtoolError: generation failed or was stopped; the text so far is shown.
        """
        self._console.status("...")
        try:
            with tty.disable_echo(self._on_resume):
                turn = _consume(events, self._show_event)  # also saves the session
        except Cancelled:
            self._console.interrupts.clear()  # enables output again
            self._close()
            raise
        except BaseException:
            self._close()
            raise
        self._close()
        return turn

    def replay(self, text: str) -> None:
        """Show a complete reply."""
        self._show_event(Token(0, 0, text))
        self._close()

    def _on_resume(self) -> None:
        self._resumed = True

    def _show_event(self, event: Token | ChatNote) -> None:
        if isinstance(event, Token):
            self._show_token(event)
        elif self._has_text:
            self._late.append(event.text)
        else:
            self._console.note(event.text)
            self._console.status("...")

    def _redraw(self) -> None:
        if self._resumed and self._markdown is not None:
            self._resumed = False
            self._markdown.redraw()

    def _close(self) -> None:
        self._console.status("")
        self._redraw()
        self._fold_reasoning()
        if self._markdown is not None:
            self._markdown.end()
            self._console.stdout.write_raw("\n")
        self._console.stdout.end_line()
        for text in self._late:
            self._console.note(text)

    def _show_token(self, token: Token) -> None:
        if token.reasoning:
            self._n_reasoning += 1
            self._reasoning_began = self._reasoning_began or time.perf_counter()
            self._console.status(f"thinking: {self._n_reasoning} tokens")
            return
        self._fold_reasoning()
        self._redraw()
        self._has_text = self._has_text or bool(token.text)
        if self._markdown is None:
            self._console.stdout.write(token.text)
        elif token.text:
            self._console.status("")
            self._markdown.push(token.text)

    def _fold_reasoning(self) -> None:
        if self._n_reasoning:
            seconds = time.perf_counter() - self._reasoning_began
            self._console.status("")
            self._console.note(f"thought for {seconds:.1f} s; /reasoning shows it")
            self._n_reasoning, self._reasoning_began = 0, 0.0


def _open_markdown(console: Console) -> MarkdownStream:
    from llmtool.cli.render.markdown import MarkdownStream

    return MarkdownStream(
        console.stdout.write_raw,
        size=lambda: console.size,
        console=lambda columns: tables.make_rich_console(console, columns),
    )


def can_draw(console: Console) -> bool:
    """Return whether stdout is a terminal that can move the cursor."""
    return console.stdout.is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def plain(console: Console, events: Generator[ChatEvent, None, None]) -> Turn:
    """Write a reply and a newline to a pipe, and return its turn."""

    def write(event: Token | ChatNote) -> None:
        if isinstance(event, ChatNote):
            console.note(event.text)
        elif not event.reasoning:
            console.stdout.write(event.text)

    turn = _consume(events, write)
    console.stdout.end_line()
    return turn


def json_lines(console: Console, events: Generator[ChatEvent, None, None]) -> Turn:
    """Write each event as a JSON line: `token`, `reasoning`, `note`, and finally `turn`."""
    from llmtool.sessions.export import turn_to_dict

    def write(event: Token | ChatNote) -> None:
        kind = (
            "note" if isinstance(event, ChatNote) else "reasoning" if event.reasoning else "token"
        )
        _write_line(console, {"event": kind, "text": event.text})

    turn = _consume(events, write)
    _write_line(console, {"event": "turn", **turn_to_dict(turn)})
    return turn


def _consume(
    events: Generator[ChatEvent, None, None], show: Callable[[Token | ChatNote], None]
) -> Turn:
    """Show all events except the last one, the turn, and return that."""
    turn: Turn | None = None
    with closing(events):
        for event in events:
            if isinstance(event, Turn):
                turn = event
            else:
                show(event)
    assert turn is not None
    return turn


def _write_line(console: Console, value: dict[str, object]) -> None:
    console.stdout.write(to_json(value) + "\n")
