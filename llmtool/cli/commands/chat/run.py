"""Run `chat`: interactively in a terminal, or for messages from a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from llmtool.batch.lines import LineSource
from llmtool.cli import bootstrap
from llmtool.cli.commands.chat.render import json_lines, plain
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.encoding import Errors, decode
from llmtool.errors import InputError, OutputError, UsageError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.chat.truncation import OverflowPolicy
from llmtool.tasks.options import ChatOptions

Message = tuple[str, str | None]  # text, and attached standard input


def chat(
    console: Console,
    text: str | None,
    options: ChatOptions,
    *,
    name: str | None,
    continue_last: bool,
    no_save: bool,
    overflow: OverflowPolicy,
    each_line: bool,
    json: bool,
    input: g.InputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Start or continue a chat, and run it until its input ends.

    Raises:
        UsageError: options cannot be combined, or the message is missing.
        LlmtoolError: the model cannot be opened, or a piped message has no reply.
    """
    if sum((name is not None, continue_last, no_save)) > 1:
        raise UsageError("--session, --continue and --no-save cannot be combined; use one of them")
    piped = not console.stdin_is_terminal
    if each_line and not piped:
        raise UsageError("--each line needs piped input; in a terminal, every line is a message")
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    store = Sessions(folders.data / "sessions")
    if continue_last:
        name = store.latest_in(os.getcwd())
        if name is None:
            raise UsageError(
                "no session to continue in this directory; list all with `llmtool sessions ls`"
            )
    files = [_attach(console, path, input.errors) for path in input.files]
    first = None if text is None or text == "-" else inputs.read_argument(text)
    is_interactive = not piped and not json and (first is None or console.stdout.is_terminal)
    messages: Iterable[Message] = ()
    if each_line:
        messages = _read_lines(console, first, input)
    elif not is_interactive:
        messages = [_read_message(console, first, text, input, piped=piped)]
    if name is not None and model.reference is None and store.exists(name):
        model = replace(model, reference=store.load_header(name).model)
    context = bootstrap.open_context(console, folders, settings, model)

    def start(store: Sessions | None) -> Chat:
        return Chat(context, options, session=name, store=store, overflow=overflow)

    is_saved = name is not None or (is_interactive and not no_save)
    try:
        conversation = start(store if is_saved else None)
    except OutputError as exc:
        if name is not None:
            raise
        console.note(f"this conversation is not saved: {exc}")
        conversation = start(None)
    with conversation:
        for file in files:
            conversation.attach(file.name, file.text)
        if is_interactive:
            from llmtool.cli.commands.chat import loop
            from llmtool.cli.commands.chat.context import ChatContext

            loop.run(
                ChatContext(console, conversation, context, store),
                first,
                history=folders.data / "chat_history" if conversation.is_saved else None,
                open_context=lambda reference: bootstrap.open_context(
                    console, folders, settings, replace(model, reference=reference)
                ),
            )
            return
        show = json_lines if json else plain
        for prompt, material in messages:
            if material is not None:
                conversation.attach("standard input", material)
            turn = show(console, conversation.stream(prompt))
            if turn.finish_reason == "length":
                n_tokens = turn.completion_tokens
                console.note(f"truncated at {n_tokens} tokens; raise --max-tokens")
        if conversation.is_saved:
            conversation.save_state()


def _attach(console: Console, path: str, errors: Errors) -> Attachment:
    if path == "-":
        raise UsageError("-f -: standard input is the message; pass a file name")
    text = inputs.read_document(console, path, errors=errors)
    return Attachment(name=path, text=text)


def _read_message(
    console: Console, first: str | None, text: str | None, input: g.InputOptions, *, piped: bool
) -> Message:
    """Return the message of a pipe: the argument with standard input attached, or one of them."""
    errors: Errors = input.errors
    if first is not None:
        material = None if input.no_stdin else inputs.read_optional_stdin(console, errors=errors)
        return first, material
    if input.no_stdin or console.stdin_is_closed or (not piped and text != "-"):
        raise UsageError("no message; pass MESSAGE or pipe text in")
    message = inputs.read_stdin(console, errors=errors)
    if not message.strip():
        raise InputError("no message: standard input is empty; pass MESSAGE or pipe text in")
    return message.strip("\n"), None


def _read_lines(console: Console, first: str | None, input: g.InputOptions) -> Iterator[Message]:
    """Yield the argument, then each line of standard input as soon as it is complete."""
    if first is not None:
        yield first, None
    if input.no_stdin or console.stdin_is_closed:
        return
    for line in LineSource("-"):
        if line is None:  # a slow pipe
            console.wait_for_input()
            continue
        if line.is_too_long:
            raise InputError(
                f"line {line.number} of standard input is too long for any context; split it"
            )
        source = f"line {line.number} of standard input"
        text = decode(line.data, source=source, errors=input.errors).rstrip("\r")
        if text.strip():
            yield text, None
