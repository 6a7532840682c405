"""What `chat` does with its options: a conversation at a terminal, or one in a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from llmtool.batch.lines import LineSource
from llmtool.cli import bootstrap
from llmtool.cli.commands.chat import render as show
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.encoding import Errors, decode
from llmtool.errors import InputError, OutputError, UsageError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Turn
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.options import ChatOptions


def chat(
    console: Console,
    text: str | None,
    *,
    system: str | None,
    template: str | None,
    param: list[str] | None,
    name: str | None,
    goes_on: bool,
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
    """Converse.

    Raises:
        LlmtoolError: as the conversation does.
    """
    if sum((name is not None, goes_on, no_save)) > 1:
        raise UsageError("--session, --continue and --no-save exclude each other")
    piped = not console.stdin_is_terminal
    if each_line and not piped:
        raise UsageError("--each line is for lines from a pipe; at a terminal every line is one")
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    store = Sessions(folders.data / "sessions")
    if goes_on:
        name = store.last_of(os.getcwd())
        if name is None:
            raise UsageError(
                "no session was begun in this directory (`llmtool sessions ls` lists all)"
            )
    options: ChatOptions = {
        **sampling.options(),
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "template": template,
        "thinking": think,
        "variables": bootstrap.parse_params(param or []) or None,
    }
    files = [_attach(console, path, source) for path in source.file or []]
    first = None if text is None or text == "-" else inputs.read_argument(text)
    talks = not piped and not json and (first is None or console.stdout.is_terminal)
    said = None if talks or each_line else _gather(console, first, text, source, piped=piped)
    if name is not None and engine.model is None and store.exists(name):
        engine = replace(engine, model=store.load_head(name).model)
    keeps = name is not None or (talks and not no_save)
    box = bootstrap.open_toolbox(console, folders, settings, engine)
    conversation = _open(
        console,
        lambda store: Chat(
            box,
            session=name,
            store=store,
            overflow="drop" if overflow == "drop" else "summarize",
            **options,
        ),
        store if keeps else None,
        is_asked=name is not None,
    )
    with conversation:
        for file in files:
            conversation.read(file.name, file.text)
        if talks:
            from llmtool.cli.commands.chat import loop
            from llmtool.cli.commands.chat.context import ChatContext

            loop.run(
                ChatContext(console, conversation, box, store),
                first,
                history=folders.data / "chat_history" if conversation.is_kept else None,
                open_toolbox=lambda reference: bootstrap.open_toolbox(
                    console, folders, settings, replace(engine, model=reference)
                ),
            )
            return
        tell = show.json_lines if json else show.plain
        messages = _lines(console, first, source) if each_line else iter([said])
        for message in messages:
            if message is None:
                continue
            words, material = message
            if material is not None:
                conversation.read("standard input", material)
            _report(console, tell(console, conversation.stream(words)))
        if conversation.is_kept:
            conversation.remember()


def _open(
    console: Console,
    begin: Callable[[Sessions | None], Chat],
    store: Sessions | None,
    *,
    is_asked: bool,
) -> Chat:
    """Begin a conversation, unkept where it cannot be kept and nobody has asked for that.

    Raises:
        OutputError: the session that was asked for cannot be written.
    """
    try:
        return begin(store)
    except OutputError as exc:
        if is_asked:
            raise
        console.note(f"this conversation is not kept: {exc}")
        return begin(None)


Message = tuple[str, str | None]  # what is asked, and what it is about


def _attach(console: Console, path: str, source: g.SourceGroup) -> Attachment:
    if path == "-":
        raise UsageError("-f -: standard input is the message itself (give a file's name)")
    text = inputs.read_document(console, path, errors=source.errors.value)
    return Attachment(name=path, text=text)


def _gather(
    console: Console, first: str | None, text: str | None, source: g.SourceGroup, *, piped: bool
) -> Message | None:
    """Return the one message of a pipe: the argument, and what it is about."""
    errors: Errors = source.errors.value
    if first is not None:
        material = None if source.no_stdin else inputs.read_optional_stdin(console, errors=errors)
        return first, material
    if source.no_stdin or console.stdin_is_closed or (not piped and text != "-"):
        raise UsageError("nothing to say: give a message as an argument or on standard input")
    said = inputs.read_stdin(console, errors=errors)
    if not said.strip():
        raise InputError("the input is empty")
    return said.strip("\n"), None


def _lines(console: Console, first: str | None, source: g.SourceGroup) -> Iterator[Message]:
    """Yield the argument and the lines of standard input, each when it is there."""
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


def _report(console: Console, turn: Turn) -> None:
    if turn.finish_reason == "length":
        console.note(f"the reply was cut at {turn.completion_tokens} tokens (raise --max-tokens)")
