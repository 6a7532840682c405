"""Show replies while they are generated: as Markdown, plain text or JSON lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llmtool.cli.render import tables
from llmtool.cli.terminal import tty
from llmtool.cli.terminal.console import WAITING, Console, to_json
from llmtool.engine.types import Token
from llmtool.errors import Cancelled
from llmtool.sessions.types import Turn

if TYPE_CHECKING:
    from llmtool.cli.render.markdown import MarkdownStream
    from llmtool.tasks.streams import Stream


class ReplyView:
    """Shows replies: as Markdown if the terminal supports it, else as plain text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._markdown: MarkdownStream | None = None
        self._n_reasoning = 0
        self._reasoning_began = 0.0
        self._has_text = False
        self._late: list[str] = []  # notes to show after the text
        self._resumed = False  # after Ctrl-Z; the shell has written to the terminal

    def show(self, stream: Stream[Token, Turn]) -> Turn:
        """Show a reply while it is generated, and return its turn.

        Raises:
            LlmtoolError: generation failed or was stopped; the text so far is shown.
        """
        self._open()
        self._console.status(WAITING)
        try:
            silent = tty.disable_echo(self._on_resume, bracketed_paste=self._console.can_draw)
            with silent, stream:  # closing it saves the session
                for token in stream:
                    self._show_token(token)
        except BaseException as exc:
            expired = self._console.interrupts.expired
            if expired is not None or isinstance(exc, Cancelled):
                self._console.interrupts.clear()  # enables output again
            self._close()
            if expired is not None:  # `exc` may be its effect, such as a write that it ended
                raise expired from None
            raise
        self._close()
        return stream.result

    def replay(self, text: str) -> None:
        """Show a complete reply."""
        self._open()
        self._show_token(Token(0, 0, text))
        self._close()

    def note(self, text: str) -> None:
        """Show a note, after the reply if that has begun."""
        if self._has_text:
            self._late.append(text)
        else:
            self._console.note(text)
            self._console.status(WAITING)

    def _open(self) -> None:
        self._markdown = _open_markdown(self._console) if self._console.can_draw else None
        self._has_text, self._late, self._resumed = False, [], False

    def _on_resume(self) -> None:
        self._resumed = True

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


class PlainView:
    """Writes replies to a pipe, and notes to stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, stream: Stream[Token, Turn]) -> Turn:
        """Write a reply and a newline, and return its turn."""
        with stream:
            for token in stream:
                self._console.stdout.write(token.text)
        self._console.stdout.end_line()
        return stream.result

    def note(self, text: str) -> None:
        self._console.note(text)


class JsonView:
    """Writes each event as a JSON line: `token`, `reasoning`, `note`, and finally `turn`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, stream: Stream[Token, Turn]) -> Turn:
        """Write the events of a reply, and return its turn."""
        with stream:
            for token in stream:
                kind = "reasoning" if token.reasoning else "token"
                self._write({"event": kind, "text": token.reasoning or token.text})
        self._write({"event": "turn", **stream.result.to_dict()})
        return stream.result

    def note(self, text: str) -> None:
        self._write({"event": "note", "text": text})

    def _write(self, value: dict[str, object]) -> None:
        self._console.stdout.write(to_json(value) + "\n")
