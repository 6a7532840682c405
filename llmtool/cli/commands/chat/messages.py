"""Read the messages that come through a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.batch.lines import LineSource
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Input
from llmtool.errors import InputError, UsageError

Message = tuple[str, str | None]  # text, and attached standard input


def read_message(
    console: Console, first: str | None, text: str | None, input: Input, *, piped: bool
) -> Message:
    """Return the message of a pipe: the argument with standard input attached, or one of them."""
    if first is not None:
        if input.no_stdin:
            return first, None
        return first, inputs.read_optional_stdin(console, input)
    if input.no_stdin or console.stdin_is_closed or (not piped and text != "-"):
        raise UsageError("no message; pass MESSAGE or pipe text in")
    message = inputs.read_source(console, "-", input)
    if not message.strip():
        raise InputError("no message: standard input is empty; pass MESSAGE or pipe text in")
    return message.strip("\n"), None


def read_lines(console: Console, first: str | None, input: Input) -> Iterator[Message]:
    """Yield the argument, then each line of standard input as soon as it is complete."""
    if first is not None:
        yield first, None
    if input.no_stdin or console.stdin_is_closed:
        return
    lines = LineSource("-", encoding=input.encoding, errors=input.errors or "strict")
    for line in lines:
        if line is None:  # a slow pipe
            console.wait_for_input()
            continue
        if line.is_too_long:
            raise InputError(
                f"line {line.number} of standard input is too long for any context; split it"
            )
        text = lines.decode(line).rstrip("\r\n")
        if text.strip():
            yield text, None
