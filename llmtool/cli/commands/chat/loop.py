"""Run a chat in a terminal: read lines and show replies until Ctrl-D."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool.cli.commands.chat import slash_commands
from llmtool.cli.commands.chat.context import (
    Action,
    ChatContext,
    Prefill,
    Quit,
    ShowReply,
    SwitchModel,
)
from llmtool.cli.commands.chat.line_editor import EditedReader, LineReader, PlainReader
from llmtool.cli.commands.chat.status import show_last_turn, status_line
from llmtool.cli.terminal import signals
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError, OutputError, TimeoutExpired
from llmtool.sizes import format_count

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext

_EXIT_WORDS = ("exit", "quit", "exit()", "quit()", ":q")
OpenContext = Callable[[str], "TaskContext"]


def run(
    context: ChatContext,
    first: str | None = None,
    *,
    history: Path | None,
    open_context: OpenContext,
) -> None:
    """Send messages and run slash commands until the user leaves.

    Args:
        first: a message to send before the first line is read.
        history: the file of earlier lines; None saves lines only for this chat.
        open_context: opens a model for `/model`.

    Raises:
        Cancelled: a terminating signal; the session is saved.
    """
    console, chat = context.console, context.chat
    console.interrupts.ignore_repeated_signals()
    reader = _open_reader(context, history)
    saved = f"session {chat.session.name!r}" if chat.is_saved else "not saved"
    console.note(f"{context.tasks.model.name}, {saved} (/help for commands, Ctrl-D to exit)")
    show_last_turn(context)
    if first is not None:
        _perform(context, reader, partial(_send, context, first), open_context)
    prefill = ""
    has_explained = False
    while True:
        try:
            line = reader.read(prefill)
        except EOFError:
            break
        except KeyboardInterrupt as exc:
            line = ""
            if not (has_explained or exc.args[0].strip()):
                console.note("press Ctrl-D or type /exit to leave")
                has_explained = True
        else:
            has_explained = False
        console.interrupts.clear()
        prefill = ""
        if not line.strip():
            continue
        if line.rstrip() in _EXIT_WORDS:
            console.note("press Ctrl-D or type /exit to leave; to send it, start with a space")
            continue
        parse = slash_commands.run if line.startswith(("/", "／")) else _send
        action = _perform(context, reader, partial(parse, context, line), open_context)
        if isinstance(action, Quit):
            break
        if isinstance(action, Prefill):
            prefill = action.text
    _leave(context)


def _open_reader(context: ChatContext, history: Path | None) -> LineReader:
    console = context.console
    if not console.can_draw or not console.stdin_is_terminal:
        return PlainReader(console)
    return EditedReader(
        console,
        history=history,
        complete=partial(slash_commands.complete, context),
        status=partial(status_line, context),
    )


def _send(context: ChatContext, text: str) -> ShowReply:
    return ShowReply(context.chat.stream(text))


def _perform(
    context: ChatContext,
    reader: LineReader,
    parse: Callable[[], Action | None],
    open_context: OpenContext,
) -> Action | None:
    """Perform the action of a line and report its errors, so that the chat continues.

    Ctrl-C also discards the lines that were typed meanwhile.
    """
    console, chat = context.console, context.chat
    action = None
    reports_unsaved = False  # a complete reply reports a failed save itself
    try:
        action = parse()
        if isinstance(action, ShowReply):
            _show_reply(context, action)
            reports_unsaved = True
        elif isinstance(action, SwitchModel):
            _switch_model(context, action.reference, open_context)
        elif isinstance(action, Quit):
            return action
    except Cancelled as exc:
        if exc.reason == signal.SIGINT:
            reader.discard_input()
        expired = exc if isinstance(exc, TimeoutExpired) else console.interrupts.expired
        console.interrupts.clear()  # raises for the signals that end the process
        last = chat.turns[-1] if chat.turns else None
        if last and last.finish_reason == "interrupted" and not last.text:
            console.note(
                "stopped before the reply began; /retry sends the message again, /undo removes it"
            )
        else:
            console.note("stopped" if expired is None else f"stopped: {expired}")
    except LlmtoolError as exc:
        console.error(str(exc), is_wrapped=True)
        if isinstance(exc, ContextOverflow) and chat.files:
            console.note("/read - removes the files attached to your next message")
    console.interrupts.clear()
    if chat.save_error and not reports_unsaved:
        console.note(f"not saved: {chat.save_error}")
    return action


def _show_reply(context: ChatContext, reply: ShowReply) -> None:
    interrupts = context.console.interrupts
    if context.timeout is not None:
        interrupts.start_timer(context.timeout)
    try:
        turn = context.view.show(reply.stream)
    finally:
        interrupts.stop_timer()
    if turn.finish_reason == "length":
        n_tokens = format_count(turn.completion_tokens, "token")
        context.console.note(f"truncated at {n_tokens}; /set max_tokens N raises the limit")


def _switch_model(context: ChatContext, reference: str, open_context: OpenContext) -> None:
    """Switch to another model, or stay with the current one if it cannot be loaded."""
    console, old = context.console, context.tasks
    try:
        new = open_context(reference)
        old.model.close()  # two models may not fit into memory
        _ = new.engine
        context.chat.switch_model(new)
    except BaseException:
        signals.install(console.interrupts, old.cancellation)
        raise
    context.tasks = new
    console.note(f"switched to {new.model.name}")


def _leave(context: ChatContext) -> None:
    """Save the model's state, to resume faster, and report the name of the session.

    Raises:
        OutputError: the last turn could not be saved.
    """
    console, chat = context.console, context.chat
    if chat.is_saved:
        try:
            chat.save_state()
        except Cancelled:
            console.interrupts.clear()
        except LlmtoolError as exc:  # resuming only takes longer
            console.note(str(exc))
        if chat.turns and not chat.save_error:
            console.note(f"saved as {chat.session.name!r}; continue with `llmtool chat -c`")
    chat.close()
    if chat.save_error:
        raise OutputError(f"not saved: {chat.save_error}")
