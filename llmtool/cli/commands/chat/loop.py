"""A conversation at a terminal: lines in, replies out, until Ctrl-D."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.chat import slash_commands
from llmtool.cli.commands.chat.line_editor import EditedReader, LineReader, PlainReader
from llmtool.cli.commands.chat.render import ReplyView, can_draw
from llmtool.cli.options.groups import EngineGroup
from llmtool.cli.render import tables
from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.text import cell_width, truncate_to_width
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn
from llmtool.sizes import format_count
from llmtool.tasks.chat.token_usage import Budget

if TYPE_CHECKING:
    from llmtool import config
    from llmtool.tasks.chat.chat import Chat, Told
    from llmtool.toolbox import Toolbox

_AUTOMATIC = re.compile(r"\d{4}-\d\d-\d\d-\d{4}(-\d+)?")  # a name that nobody has chosen
_BAR = 30


class Loop:
    """Reads messages and commands and shows what comes of them."""

    def __init__(
        self,
        console: Console,
        chat: Chat,
        box: Toolbox,
        *,
        folders: config.Folders,
        settings: config.Settings,
        engine: EngineGroup,
        keeps: bool,
    ) -> None:
        self.console = console
        self.chat, self.box, self.keeps = chat, box, keeps
        self._folders, self._settings, self._engine = folders, settings, engine
        self._store = Sessions(folders.data / "sessions")
        self._offered = ""
        self._view = ReplyView(console, draws=can_draw(console))
        self._reader = self._open_reader()
        self._has_told = False  # that the last change is not saved
        self._used = 0  # tokens of the context, as the last turn told

    def _open_reader(self) -> LineReader:
        if not can_draw(self.console) or not self.console.stdin_is_terminal:
            return PlainReader(self.console)
        return EditedReader(
            self.console,
            history=self._folders.data / "chat_history" if self.keeps else None,
            complete=lambda words: slash_commands.complete(self, words),
            status=self._status,
        )

    def run(self, first: str | None) -> None:
        """Converse until the person leaves; `first` is said before anything is read.

        Raises:
            Cancelled: a signal ends the process; everything said is kept.
        """
        self.console.interrupts.ignore_repeated_signals()
        self._greet()
        if self.chat.turns:
            self.show_last()
        if first is not None:
            self.send(first)
        try:
            while True:
                line = self._read()
                if line is not None:
                    self._do(line)
        except (EOFError, slash_commands.Leave):
            self._leave()

    def _read(self) -> str | None:
        offered, self._offered = self._offered, ""
        try:
            line = self._reader.read(offered)
        except KeyboardInterrupt:
            self.console.interrupts.clear()
            return None
        self.console.interrupts.clear()
        return line if line.strip() else None

    def _do(self, line: str) -> None:
        if not line.startswith("/"):
            self.send(line)
            return
        self._guarded(lambda: slash_commands.run(self, line))

    def send(self, text: str) -> None:
        """Say something and show the reply."""
        self._guarded(lambda: self.answer(self.chat.stream(text)))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something that may fail without ending the conversation."""
        self._has_told = False
        try:
            act()
        except Cancelled:
            self.console.interrupts.clear()  # raises for the signals that end us
            self._say_stopped()
        except LlmtoolError as exc:
            self.console.error(str(exc))
            if isinstance(exc, ContextOverflow) and self.chat.files:
                self.console.note("/read - takes the files back that go with your next message")
        self.console.interrupts.clear()
        if self.chat.unsaved and not self._has_told:
            self.console.note(f"not saved: {self.chat.unsaved}")

    def _say_stopped(self) -> None:
        turns = self.chat.turns
        if turns and turns[-1].finish_reason == "interrupted" and not turns[-1].reply:
            self.console.note(
                "stopped before anything was said; /retry asks again, /undo takes it back"
            )
        else:
            self.console.note("stopped")

    def answer(self, events: Generator[Told, None, None]) -> None:
        """Show a reply."""
        turn = self._view.show(events)
        self._has_told = True  # a turn that is not saved says so itself
        self._used = turn.prompt_tokens + turn.completion_tokens
        if turn.finish_reason == "length":
            self.console.note(
                f"the reply was cut at {turn.completion_tokens} tokens (/set max_tokens N)"
            )

    # What commands ask for

    def offer(self, text: str) -> None:
        """Put text into the next line, to be changed."""
        self._offered = text

    def show_last(self) -> None:
        """Say where an earlier conversation has stopped."""
        n = len(self.chat.turns)
        if not n:
            return
        last = self.chat.turns[-1]
        more = f"{format_count(n - 1, 'turn')} before" if n > 1 else "one turn"
        self.console.note(f"session {self.chat.session.name!r}, {more}:")
        self.console.stdout.write(f"> {last.text}\n")
        if last.reply:
            self._view.replay(last.reply)
        else:
            self.console.note("it was not answered: /retry asks again")

    def show_budget(self) -> None:
        """Show who takes how many tokens of the context."""
        budget = self.chat.budget()
        tables.table(self.console, 
            ["part", "tokens", ""],
            [
                *((each.label, f"{each.n_tokens:,}", _bar(each.n_tokens, budget))
                  for each in budget.shares),
                ("set aside for a reply", f"{budget.reply:,}", _bar(budget.reply, budget)),
                ("free", f"{budget.n_free:,}", _bar(budget.n_free, budget)),
                ("context", f"{budget.n_ctx:,}", ""),
            ],
            right=["tokens"],
        )  # fmt: skip
        if budget.n_left_out:
            n = budget.n_left_out
            self.console.note(
                f"the model does not see the first {format_count(n, 'turn')} any more"
            )

    def show_stats(self) -> None:
        """Show how the last reply came about."""
        if not self.chat.turns:
            self.console.note("there is no reply yet")
            return
        turn = self.chat.turns[-1]
        new = turn.prompt_tokens - turn.cached_tokens
        tables.fields(self.console, 
            [
                ("model", turn.model),
                ("prompt", f"{turn.prompt_tokens:,} tokens, of which {new:,} were computed"),
                ("reply", f"{turn.completion_tokens:,} tokens in {turn.seconds:.1f} s, "
                          f"{_speed(turn)}"),
                ("seed", str(turn.seed)),
                ("session", self.chat.session.name),
            ]
        )  # fmt: skip

    def model_names(self) -> list[str]:
        store = self.box.store
        return sorted({*(model.name for model in store.list()), *store.aliases()})

    def template_names(self) -> list[str]:
        return self.box.library.names()

    def session_names(self) -> list[str]:
        return self._store.names()

    def save_as(self, name: str) -> None:
        """Keep the session under a name; one that nobody has chosen goes."""
        old = self.chat.session.name
        self.chat.keep(name, self._store)
        if self.keeps and name != old and _AUTOMATIC.fullmatch(old) and self._store.exists(old):
            self._store.remove(old)
        self.keeps = True
        self.console.note(f"kept as {name!r}")

    def keep_copy(self) -> None:
        """Keep the conversation as it is under another name, because turns will be taken back."""
        if self.keeps:
            name = self._store.free_name(f"{self.chat.session.name}-before")
            self._store.save(msgspec.structs.replace(self.chat.session, name=name))
            self.console.note(f"the conversation as it was is kept as {name!r}")

    def switch_model(self, reference: str) -> None:
        """Go on with another model; where it cannot be loaded, the present one stays."""
        old = self.box
        engine = dataclasses.replace(self._engine, model=reference)
        try:
            new = bootstrap.open_toolbox(self.console, self._folders, self._settings, engine)
            old.close()  # two at once may not fit
            _ = new.engine
            self.chat.use(new)
        except BaseException:
            signals.install(self.console.interrupts, old.cancellation)
            raise
        self.box = new
        self.console.note(f"{new.model_name} goes on")

    # What stands around it

    def _greet(self) -> None:
        kept = f", session {self.chat.session.name!r}" if self.keeps else ", not kept"
        self.console.note(f"{self.box.model_name}{kept} (/help, Ctrl-D leaves)")

    def _status(self, columns: int) -> str:
        parts = [self.box.model_name]
        turns = self.chat.turns
        if turns and turns[-1].completion_tokens:
            n_ctx = self.box.engine.info.n_ctx
            parts.append(f"{self._used or _tokens(turns[-1]):,}/{n_ctx:,} tokens")
            parts += [_speed(turns[-1])] if turns[-1].decode_seconds else []
        if self.chat.files:
            parts.append(format_count(len(self.chat.files), "file"))
        while len(parts) > 1 and cell_width(" · ".join(parts)) > columns:
            parts.pop(0)
        return truncate_to_width(" · ".join(parts), columns)

    def _leave(self) -> None:
        try:
            if self.keeps:
                self.chat.remember()
        except Cancelled:
            self.console.interrupts.clear()
        except LlmtoolError as exc:  # it costs time at the next start, and nothing else
            self.console.note(str(exc))
        if self.keeps and self.chat.unsaved:
            self.console.error(f"not kept: {self.chat.unsaved}")
        elif self.keeps and self.chat.turns:
            name = self.chat.session.name
            self.console.note(f"kept as {name!r} (llmtool chat -c goes on)")
        self.chat.close()


def _tokens(turn: Turn) -> int:
    return turn.prompt_tokens + turn.completion_tokens


def _speed(turn: Turn) -> str:
    """Return how fast a reply was written, once the prompt was read."""
    n_tokens = turn.completion_tokens - 1  # the first one comes with the prompt
    return f"{n_tokens / turn.decode_seconds:.0f} tok/s" if turn.decode_seconds else "-"


def _bar(n_tokens: int, budget: Budget) -> str:
    return "█" * max(n_tokens > 0, round(_BAR * n_tokens / max(1, budget.n_ctx)))
