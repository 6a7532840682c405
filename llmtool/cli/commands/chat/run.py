"""Run `chat`: interactively at a terminal, or for the messages of a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

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

Message = tuple[str, str | None]  # what to ask, and the material that it is about


def chat(
    console: Console,
    text: str | None,
    *,
    system: str | None,
    template: str | None,
    param: list[str] | None,
    name: str | None,
    continue_last: bool,
    no_save: bool,
    overflow: str,
    each_line: bool,
    json: bool,
    think: bool | None,
    source: g.SourceGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Start or continue a chat, and run it until its input ends.

    Raises:
        UsageError: options exclude each other, or there is no message.
        LlmtoolError: the model cannot be opened, or a piped message has no reply.
    """
    if sum((name is not None, continue_last, no_save)) > 1:
        raise UsageError("--session, --continue and --no-save exclude each other")
    piped = not console.stdin_is_terminal
    if each_line and not piped:
        raise UsageError("--each line is for lines from a pipe; at a terminal every line is one")
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    store = Sessions(folders.data / "sessions")
    if continue_last:
        name = store.latest_in(os.getcwd())
        if name is None:
            raise UsageError(
                "no session was begun in this directory (`llmtool sessions ls` lists all)"
            )
    options: dict[str, Any] = {
        **sampling.options(),
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "template": template,
        "thinking": think,
        "variables": bootstrap.parse_params(param or []) or None,
    }
    files = [_attach(console, path, source) for path in source.file or []]
    first = None if text is None or text == "-" else inputs.read_argument(text)
    is_interactive = not piped and not json and (first is None or console.stdout.is_terminal)
    messages: Iterable[Message] = ()
    if each_line:
        messages = _read_lines(console, first, source)
    elif not is_interactive:
        messages = [_read_message(console, first, text, source, piped=piped)]
    if name is not None and engine.model is None and store.exists(name):
        engine = msgspec.structs.replace(engine, model=store.load_header(name).model)
    box = bootstrap.open_toolbox(console, folders, settings, engine)

    def start(store: Sessions | None) -> Chat:
        policy: OverflowPolicy = "drop" if overflow == "drop" else "summarize"
        return Chat(box, session=name, store=store, overflow=policy, **options)

    is_saved = name is not None or (is_interactive and not no_save)
    try:
        conversation = start(store if is_saved else None)
    except OutputError as exc:
        if name is not None:
            raise
        console.note(f"this conversation is not kept: {exc}")
        conversation = start(None)
    with conversation:
        for file in files:
            conversation.attach(file.name, file.text)
        if is_interactive:
            from llmtool.cli.commands.chat import loop
            from llmtool.cli.commands.chat.context import ChatContext

            loop.run(
                ChatContext(console, conversation, box, store),
                first,
                history=folders.data / "chat_history" if conversation.is_saved else None,
                open_toolbox=lambda reference: bootstrap.open_toolbox(
                    console, folders, settings, msgspec.structs.replace(engine, model=reference)
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
                console.note(f"the reply was cut at {n_tokens} tokens (raise --max-tokens)")
        if conversation.is_saved:
            conversation.save_state()


def _attach(console: Console, path: str, source: g.SourceGroup) -> Attachment:
    if path == "-":
        raise UsageError("-f -: standard input is the message itself (give a file's name)")
    text = inputs.read_document(console, path, errors=source.errors.value)
    return Attachment(name=path, text=text)


def _read_message(
    console: Console, first: str | None, text: str | None, source: g.SourceGroup, *, piped: bool
) -> Message:
    """Return the only message of a pipe: the argument about standard input, or one of them."""
    errors: Errors = source.errors.value
    if first is not None:
        material = None if source.no_stdin else inputs.read_optional_stdin(console, errors=errors)
        return first, material
    if source.no_stdin or console.stdin_is_closed or (not piped and text != "-"):
        raise UsageError("nothing to say: give a message as an argument or on standard input")
    message = inputs.read_stdin(console, errors=errors)
    if not message.strip():
        raise InputError("the input is empty")
    return message.strip("\n"), None


def _read_lines(console: Console, first: str | None, source: g.SourceGroup) -> Iterator[Message]:
    """Yield the argument and each line of standard input as soon as it is complete."""
    if first is not None:
        yield first, None
    if source.no_stdin or console.stdin_is_closed:
        return
    for line in LineSource("-"):
        if line is None:  # a slow pipe
            console.wait_for_input()
            continue
        if line.is_too_long:
            raise InputError(f"standard input: line {line.number} is longer than any context")
        where = f"line {line.number} of standard input"
        text = decode(line.data, source=where, errors=source.errors.value).rstrip("\r")
        if text.strip():
            yield text, None
