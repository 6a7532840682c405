"""Log replies of `gen` and `run`, and continue the last one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.cli.options.groups import ModelOptions
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError, UsageError
from llmtool.tasks.options import GenerateOptions

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Turn

# What follows -c in programs where it is the context size.
_CONTEXT_SIZE = re.compile(r"0|\d{3,}|\d+[kK]")


def open_sessions(folders: Folders) -> Sessions:
    """Return the user's sessions, which include the log."""
    from llmtool.sessions.store import Sessions

    return Sessions(folders.data / "sessions")


def check_arguments(*arguments: object) -> None:
    """Check that no argument after `-c` is a context size.

    Raises:
        UsageError: one is.
    """
    for argument in arguments:
        if isinstance(argument, str) and _CONTEXT_SIZE.fullmatch(argument):
            raise UsageError(
                f"-c {argument}: -c continues the last exchange; for the context size, use "
                f"--ctx-size {argument}"
            )


def read_conversation(console: Console, folders: Folders, *, is_logged: bool) -> tuple[Turn, ...]:
    """Return the conversation of the last logged exchange.

    If this reply is not logged, others may be missing as well, so a note reports what is continued.

    Raises:
        UsageError: no exchange with a reply is logged.
        OutputError: none can be logged, because the folder of the log cannot be written.
    """
    from llmtool import files
    from llmtool.sessions.log import last_conversation

    sessions = open_sessions(folders)
    turns = last_conversation(sessions, on_report=console.note)
    if not turns:
        with files.write_errors(str(sessions.folder)):
            files.make_folder(sessions.folder)
        remedy = (
            "run `llmtool gen` without -c first"
            if is_logged
            else "log replies with --log or `llmtool config set log true`"
        )
        raise UsageError(f"-c: no exchange to continue; {remedy}")
    if not is_logged:
        begin = " ".join(turns[-1].user.split())
        begin = begin if len(begin) <= 50 else f"{begin[:49]}…"
        console.note(f"continuing the last logged exchange, {begin!r}; this one is not logged")
    return turns


def last_model(turns: Sequence[Turn], model: ModelOptions) -> ModelOptions:
    """Return model options with the model of the last turn, unless another was chosen."""
    if model.reference is not None:
        return model
    last = turns[-1]
    reference = last.exchange.model if last.exchange is not None else last.model
    return msgspec.structs.replace(model, reference=reference or None)


def last_system(
    turns: Sequence[Turn], options: GenerateOptions, template: Template
) -> GenerateOptions:
    """Return options with the system prompt of the last turn, unless another was chosen.

    Raises:
        UsageError: the template cannot continue a conversation.
    """
    if template.output.kind == "labels" or template.form == "completion":
        what = "output is a label" if template.output.kind == "labels" else "form is completion"
        raise UsageError(f"-c cannot be used with template {template.name!r}, whose {what}")
    exchange = turns[-1].exchange
    if options.system is not None or template.system is not None or exchange is None:
        return options
    return msgspec.structs.replace(options, system=exchange.system or None)


@contextlib.contextmanager
def suggesting_a_new_conversation(turns: Sequence[Turn]) -> Iterator[None]:
    """Add a remedy to the error on a conversation that is longer than the context."""
    try:
        yield
    except ContextOverflow as exc:
        count = "1 earlier exchange" if len(turns) == 1 else f"{len(turns)} earlier exchanges"
        exc.args = (f"{exc} (with {count}; omit -c to start a new conversation)",)
        raise


def save(
    console: Console,
    folders: Folders,
    turns: Sequence[Turn],
    *,
    limit_bytes: int,
    is_requested: bool,
) -> None:
    """Save replies to the log, which removes its oldest exchanges above `limit_bytes`.

    If it cannot be written, only report it on stderr. Without `is_requested`, say nothing if the
    folder cannot be created either, as in a container without a home folder; `-c` reports that.
    """
    from llmtool.sessions.log import append

    sessions = open_sessions(folders)
    received = console.interrupts.received
    try:
        report = append(
            sessions,
            turns,
            limit_bytes=limit_bytes,
            cancelled=lambda: console.interrupts.received != received,
        )
        if report:
            console.note(report)
    except Cancelled:
        raise
    except LlmtoolError as exc:
        if is_requested:
            console.error(f"cannot log the reply: {exc}")
        elif sessions.folder.exists():
            console.note(f"cannot log the reply: {exc} (LLMTOOL_LOG=0 disables the log)")
