"""Write replies: streamed or complete, as JSON, or with log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.cli.render import logprobs as logprob_output
from llmtool.cli.terminal.console import Console, Sink
from llmtool.engine.types import Token
from llmtool.errors import OutputValidationError
from llmtool.tasks.results import Choice, Generation

SEPARATOR = "---"


def write(
    console: Console,
    sink: Sink,
    events: Iterator[Token | Generation],
    *,
    as_json: bool,
    live: bool,
    think: bool,
    logprobs: bool,
) -> Generation:
    """Write a generation and return it.

    If `live`, the first reply is streamed and the others follow in order. An invalid reply is
    written only if live, or as JSON, which contains the error.

    Raises:
        OutputValidationError: a reply violates the output specification.
    """
    live = live and not as_json
    shown = _Live(console, sink, think=think and not as_json, text=live)
    try:
        for event in events:
            if isinstance(event, Generation):
                break
            shown.write(event)
        else:
            raise AssertionError("the stream ended without a result")
    except OutputValidationError as exc:
        shown.end()
        if as_json and isinstance(exc.result, Generation):
            sink.write_json(exc.result.to_dict())
            sink.close()
        elif live:
            sink.end_line()
        raise
    shown.end()
    if as_json:
        sink.write_json(event.to_dict())
        return event
    for number, choice in enumerate(event.choices):
        if number:
            sink.end_line()
            sink.write(SEPARATOR + "\n")
        if number or not live:
            _write_choice(console, sink, choice, logprobs=logprobs)
    sink.end_line()
    if logprobs and sink.is_terminal:
        console.note(logprob_output.legend(console))
    return event


def _write_choice(console: Console, sink: Sink, choice: Choice, *, logprobs: bool) -> None:
    if not logprobs:
        sink.write(choice.text)
    elif sink.is_terminal:
        for token in choice.logprobs or ():
            logprob_output.write(console, sink, token.token, token.logprob)
    else:
        for token in choice.logprobs or ():
            sink.write(logprob_output.row(token))


class _Live:
    """Streams the first reply: reasoning to stderr, text to the sink."""

    def __init__(self, console: Console, sink: Sink, *, think: bool, text: bool) -> None:
        self._console = console
        self._sink = sink
        self._shows_reasoning, self._shows_text = think, text
        self._in_reasoning = False
        self._min_logprob = 0.0  # of the tokens not written yet, which may form one character

    def write(self, token: Token) -> None:
        """Write a token's text, unless it belongs to another reply."""
        if token.choice:
            return
        if token.reasoning:
            self._min_logprob = 0.0
            if self._shows_reasoning:
                self._in_reasoning = True
                self._console.say(token.text)
            return
        if not self._shows_text:
            return
        self.end()
        if token.logprob is None:
            self._sink.write(token.text)
            return
        self._min_logprob = min(self._min_logprob, token.logprob.logprob)
        if token.text:
            logprob_output.write(self._console, self._sink, token.text, self._min_logprob)
            self._min_logprob = 0.0

    def end(self) -> None:
        """End the reasoning with a blank line, if any is open."""
        if self._in_reasoning:
            self._in_reasoning = False
            self._console.say("\n\n")
