"""Read the messages that come through a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.batch.lines import LineSource
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.encoding import Errors, decode
from llmtool.errors import InputError, UsageError

Message = tuple[str, str | None]  # text, and attached standard input


def read_message(
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


def read_lines(console: Console, first: str | None, input: g.InputOptions) -> Iterator[Message]:
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
