"""Read the input lines of a chat: with history, editing and completion, or plain.

The only importer of prompt_toolkit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmtool import files
from llmtool.cli.terminal import signals, tty
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import stopped
from llmtool.errors import Cancelled

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import Application
    from prompt_toolkit.completion import Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.formatted_text import AnyFormattedText
    from prompt_toolkit.history import History

QUOTES = '"""'
_PROMPT = "> "
_MORE = ". "
# Returns the completions of the last word; None completes file names.
Complete = Callable[[list[str]], Iterable[str] | None]


class LineReader(Protocol):
    def read(self, default: str = "") -> str:
        """Return the next line; text in triple quotes may span several lines.

        Args:
            default: text to edit.

        Raises:
            EOFError: Ctrl-D, or the end of the input.
            KeyboardInterrupt: Ctrl-C; the line, its argument, is discarded.
            Cancelled: another stop signal.
        """
        ...

    def discard_input(self) -> None:
        """Discard what was typed since the last line."""
        ...


def is_open(text: str) -> bool:
    """Return whether text starts with triple quotes and does not close them."""
    start = text.lstrip()
    if not start.startswith(QUOTES):
        return False
    rest = start[len(QUOTES) :].rstrip()
    return not rest.endswith(QUOTES)


def unquote(text: str) -> str:
    """Return text without surrounding triple quotes."""
    start = text.strip()
    if len(start) >= 2 * len(QUOTES) and start.startswith(QUOTES) and start.endswith(QUOTES):
        return start[len(QUOTES) : -len(QUOTES)].strip("\n")
    return text


class PlainReader:
    """Reads lines without editing, for `TERM=dumb` or redirected stdout; prompts on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def read(self, default: str = "") -> str:
        if default:
            self._console.say(f"{default}\n")
        lines = [self._read_line(_PROMPT)]
        while is_open("\n".join(lines)):
            try:
                lines.append(self._read_line(_MORE))
            except EOFError:
                break
        return unquote("\n".join(lines))

    def discard_input(self) -> None:
        tty.discard_input()

    def _read_line(self, prompt: str) -> str:
        self._console.say(prompt)
        line = b""
        try:
            while not line.endswith(b"\n"):
                byte = self._console.read(1)
                if not byte:
                    break
                line += byte
        except Cancelled as exc:
            self._console.say("\n")
            if exc.reason == signal.SIGINT:
                raise KeyboardInterrupt("") from None  # the terminal has discarded the line
            raise
        if not line:
            self._console.say("\n")
            raise EOFError
        return line.decode("utf-8", "replace").rstrip("\r\n")


class EditedReader:
    """Reads with prompt_toolkit.

    Args:
        history: a private file of earlier lines; None saves lines only in memory.
        complete: returns completions of a command.
        status: returns the status line for a width in columns.
    """

    def __init__(
        self,
        console: Console,
        *,
        history: Path | None,
        complete: Complete,
        status: Callable[[int], str],
    ) -> None:
        self._interrupts = console.interrupts
        self._default = ""
        self._session = _make_session(console, history, complete, status, lambda: self._default)

    def read(self, default: str = "") -> str:
        self._default = default
        end_on_signals = partial(_end_on_signals, self._session.app)
        try:
            text = self._session.prompt(default=default, pre_run=end_on_signals)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._session.default_buffer.text) from None
        finally:
            signals.reinstall(self._interrupts)
        return unquote(str(text))

    def discard_input(self) -> None:
        from prompt_toolkit.input.typeahead import clear_typeahead

        clear_typeahead(self._session.app.input)  # keys that the last prompt read
        tty.discard_input()


def _end_on_signals(app: Application[str]) -> None:
    """Make terminating signals end the prompt first, which restores the terminal."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if not app.is_done:
            app.exit(exception=stopped(number))

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)


def _make_session(
    console: Console,
    history: Path | None,
    complete: Complete,
    status: Callable[[int], str],
    default: Callable[[], str],
) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.output import ColorDepth
    from prompt_toolkit.styles import Style

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @Condition
    def is_pasted() -> bool:
        # Text after the key was sent with it: a terminal without bracketed paste, or type-ahead.
        later = (each for each in session.app.key_processor.input_queue if each.key != "<cpr>")
        key = next(later, None)
        return key is not None and (key.key in ("c-j", "c-m") or key.key == key.data)

    @keys.add("enter", filter=is_pasted)
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @Condition
    def is_empty() -> bool:
        return not session.default_buffer.text

    @keys.add("c-@", filter=is_empty)
    def _(event: Any) -> None:  # Linux stores Ctrl-D as this if it was typed before the prompt
        event.app.exit(exception=EOFError)

    @Condition
    def is_default() -> bool:
        buffer = session.default_buffer
        return (
            bool(buffer.text) and buffer.text == default() and not buffer.document.text_after_cursor
        )

    @keys.add("/", filter=is_default)
    def _(event: Any) -> None:  # a command instead of the text to edit, which Ctrl-_ restores
        event.current_buffer.text = "/"
        event.current_buffer.cursor_position = 1

    completer = _completer(complete)

    @keys.add("tab")
    def _(event: Any) -> None:
        # The menu may not be open yet: a single completion is applied at once.
        buffer = event.current_buffer
        found = list(completer.get_completions(buffer.document, None))
        if len(found) == 1:
            buffer.cancel_completion()
            buffer.apply_completion(found[0])
        elif buffer.complete_state:
            buffer.complete_next()
        else:
            buffer.start_completion(insert_common_part=True)

    def toolbar() -> AnyFormattedText:
        columns = session.output.get_size().columns
        return [("class:bottom-toolbar.text", status(columns))]

    @Condition
    def has_more() -> bool:
        return is_open(session.default_buffer.text)

    @Condition
    def is_command() -> bool:
        return session.default_buffer.text.startswith("/")

    colored = console.stdout_color
    session: PromptSession[str] = PromptSession(
        [("class:prompt", _PROMPT)],
        history=InMemoryHistory() if history is None else open_history(history),
        completer=completer,
        complete_while_typing=is_command,
        bottom_toolbar=toolbar,
        key_bindings=keys,
        multiline=has_more,
        prompt_continuation=_MORE,
        enable_open_in_editor=True,
        enable_suspend=True,
        tempfile_suffix=".md",
        reserve_space_for_menu=4,
        color_depth=None if colored else ColorDepth.DEPTH_1_BIT,
        style=Style(
            [
                ("prompt", "bold"),
                ("bottom-toolbar", "noreverse fg:ansibrightblack" if colored else "noreverse"),
            ]
        ),
    )
    # Without an answer to its request for the cursor position, prompt_toolkit prints a warning.
    session.app.renderer.cpr_not_supported_callback = None
    return session


def _completer(complete: Complete) -> Any:
    from prompt_toolkit.completion import Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    paths = PathCompleter(expanduser=True)

    class WordCompleter(Completer):
        def get_completions(self, document: Document, event: Any) -> Iterable[Completion]:
            text = document.text_before_cursor
            if not text.startswith("/") or "\n" in text:
                return
            words = text.split(" ")
            found = complete(words)
            if found is None:
                rest = Document(words[-1])
                yield from paths.get_completions(rest, event)
                return
            for word in found:
                if word.startswith(words[-1]):
                    yield Completion(word, start_position=-len(words[-1]))

    return WordCompleter()


def open_history(path: Path) -> History:
    """Return the history file; several processes can append to it."""
    from datetime import datetime

    from prompt_toolkit.history import FileHistory

    name = _private(path)

    class WholeEntries(FileHistory):
        """Writes each entry with one call, so that entries do not mix; ignores read errors."""

        def load_history_strings(self) -> Iterable[str]:
            with contextlib.suppress(OSError):
                yield from super().load_history_strings()

        def store_string(self, string: str) -> None:
            lines = "".join(f"+{line}\n" for line in string.split("\n"))
            # On a full disk the line stays in memory.
            with contextlib.suppress(OSError), open(name, "ab", buffering=0) as file:
                file.write(f"\n# {datetime.now()}\n{lines}".encode("utf-8", "replace"))

    return WholeEntries(name)


def _private(path: Path) -> str:
    """Create a file with mode 0600 if it does not exist, and return its name."""
    try:
        files.make_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        return str(path)
    except OSError:
        return os.devnull  # lines stay in memory
