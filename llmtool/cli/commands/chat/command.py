"""`llmtool chat`: chat with a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import ChatOptions

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext

app = App()


@app.add(
    "chat",
    epilog="""Examples:

\b
  llmtool chat
  llmtool chat -c
  llmtool chat --session recipes -s "You are a cook" "What is for dinner?"
  llmtool chat -f report.pdf "What does it say about costs?"
  printf 'Hello\\nWhat did I say?\\n' | llmtool chat --each line""",
)
def chat(
    console: Console,
    message: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="First message.")
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files to attach, like -f."),
    ] = None,
    *,
    continue_last: Annotated[
        bool, typer.Option("--continue", "-c", help="Continue the last session of this directory.")
    ] = False,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="Start or continue session NAME."),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Do not save the session.")] = False,
    overflow: Annotated[
        Literal["summarize", "drop"],
        typer.Option("--overflow", help="How to make room when the context is full."),
    ] = "summarize",
    options: ChatOptions,
    input: g.InputOptions,
    each: Annotated[
        Literal["line"] | None,
        typer.Option(
            "--each",
            metavar="line",
            help="Send each line of stdin as a message.",
            rich_help_panel="Input",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print events as JSON lines.", rich_help_panel="Output"),
    ] = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Chat with a model, in a terminal or through a pipe.

    In a terminal, the session is saved before and after each reply, and lines that start with a
    slash are commands (/help lists them). Piped input is one message: only the reply is printed,
    and the session is saved only with --session or -c.
    """
    import os
    from contextlib import suppress

    from msgspec.structs import replace

    from llmtool.cli import bootstrap
    from llmtool.cli.commands.chat import messages as read
    from llmtool.cli.commands.chat.render import JsonView, PlainView, ReplyView
    from llmtool.cli.terminal import inputs
    from llmtool.errors import InputError, OutputError, UsageError
    from llmtool.sessions.store import Sessions
    from llmtool.sizes import format_count
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.pipeline.collect import reasoning_warnings

    if sum((session is not None, continue_last, no_save)) > 1:
        raise UsageError("--session, --continue and --no-save cannot be combined; use one of them")
    piped = not console.stdin_is_terminal
    if each and not piped:
        raise UsageError("--each line needs piped input; in a terminal, every line is a message")
    folders, settings = bootstrap.start(console, general, model)
    store = Sessions(folders.data / "sessions")
    if continue_last:
        session = store.latest_in(os.getcwd())
        if session is None:
            raise UsageError(
                "no session to continue in this directory; list all with `llmtool sessions ls`"
            )
    inputs.check_files(paths or [])
    if "-" in (*(paths or []), *input.files):
        raise UsageError("-f -: standard input is the message; pass a file name")
    source = input.resolve(console, settings, paths or [])
    files = [
        (path, inputs.read_source(console, path, source, form="document")) for path in source.files
    ]
    if message is not None:
        inputs.note_name(console, message, what="message")
    first = None if message is None or message == "-" else inputs.read_argument(message)
    is_interactive = not piped and not json and (first is None or console.stdout.is_terminal)
    messages: Iterable[read.Message] = ()
    if each:
        messages = read.read_lines(console, first, source)
    elif not is_interactive:
        messages = [read.read_message(console, first, message, source, piped=piped)]
    if session is not None and model.reference is None and store.exists(session):
        model = replace(model, reference=store.load_header(session).model)

    def check(context: TaskContext) -> None:
        saved = None
        if session is not None and store.exists(session):
            with suppress(InputError):  # reported when the session is opened
                saved, _ = store.recover(session)
        Chat(context, options, session=saved, overflow=overflow)

    context, _ = bootstrap.open_task(
        console, folders, settings, model, lambda context: context, check=check
    )

    replies = ReplyView(console)
    view = replies if is_interactive else JsonView(console) if json else PlainView(console)

    def start(store: Sessions | None) -> Chat:
        return Chat(
            context, options, session=session, store=store, overflow=overflow, on_note=view.note
        )

    is_saved = session is not None or (is_interactive and not no_save)
    try:
        conversation = start(store if is_saved else None)
    except OutputError as exc:
        if session is not None:
            raise
        console.note(f"this conversation is not saved: {exc}")
        conversation = start(None)
    with conversation:
        if conversation.repair_report:
            console.note(conversation.repair_report)
        for path, content in files:
            conversation.attach(path, content)
        if is_interactive:
            from llmtool.cli.commands.chat import loop
            from llmtool.cli.commands.chat.context import ChatContext

            console.interrupts.stop_timer()  # the limit applies to each reply
            loop.run(
                ChatContext(console, conversation, context, store, replies, model.timeout),
                first,
                history=folders.data / "chat_history" if conversation.is_saved else None,
                open_context=lambda reference: bootstrap.open_context(
                    console, folders, settings, replace(model, reference=reference)
                ),
            )
            return
        for prompt, material in messages:
            if material is not None:
                conversation.attach("standard input", material)
            turn = view.show(conversation.stream(prompt))
            if turn.finish_reason == "length":
                n_tokens = format_count(turn.completion_tokens, "token")
                console.note(f"truncated at {n_tokens}; raise --max-tokens")
        for warning in reasoning_warnings(
            context.engine, options.thinking, options.sampling.think_tokens
        ):
            console.note(warning)
        if conversation.is_saved:
            conversation.save_state()
        if conversation.save_error:
            raise OutputError(f"the conversation is not saved: {conversation.save_error}")
