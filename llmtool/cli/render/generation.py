"""Replies on their way to the reader: live, whole, as JSON, or with their probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.cli.render import logprobs as marks
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

    Live, the first reply is written as it comes and the others after it, in their order. A reply
    that is invalid is only written live, and in JSON, which says what is wrong.

    Raises:
        OutputValidationError: a reply is not what was asked for.
    """
    live = live and not as_json
    shown = _Live(console, sink, think=think and not as_json, text=live)
    try:
        for event in events:
            if isinstance(event, Generation):
                break
            shown.take(event)
        else:
            raise AssertionError("a stream ends with its result")
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
        console.note(marks.legend(console))
    return event


def _write_choice(console: Console, sink: Sink, choice: Choice, *, logprobs: bool) -> None:
    if not logprobs:
        sink.write(choice.text)
    elif sink.is_terminal:
        for token in choice.logprobs or ():
            marks.write(console, sink, token.token, token.logprob)
    else:
        for token in choice.logprobs or ():
            sink.write(marks.row(token))


class _Live:
    """Shows replies as they are written: reasoning on stderr, and the first reply's text."""

    def __init__(self, console: Console, sink: Sink, *, think: bool, text: bool) -> None:
        self._console = console
        self._sink = sink
        self._shows_reasoning, self._shows_text = think, text
        self._in_reasoning = False
        self._least = 0.0  # the log-probability of the least likely token not shown yet

    def take(self, token: Token) -> None:
        if token.choice:
            return
        if token.reasoning:
            self._least = 0.0
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
        self._least = min(self._least, token.logprob.logprob)
        if token.text:
            marks.write(self._console, self._sink, token.text, self._least)
            self._least = 0.0

    def end(self) -> None:
        """End the reasoning, if it is open."""
        if self._in_reasoning:
            self._in_reasoning = False
            self._console.say("\n\n")
