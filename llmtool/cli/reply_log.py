"""The log of `gen` and `run`, where it is asked for: what was asked, and what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec

from llmtool.cli.terminal.console import Console
from llmtool.config import Folders
from llmtool.engine.types import Request, ScoreRequest, Token
from llmtool.errors import Cancelled, LlmtoolError, OutputValidationError
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Turn
from llmtool.tasks.results import Classification, Generation


def read_asked(text: str | None, material: str | None, *, sources: list[str], sent: str) -> Turn:
    """Return a turn with what was asked alone: an argument, and material that was not it.

    `sources` are the files that the material is from, `sent` is what a template made of it.
    """
    if text is None:
        return Turn(text=material or "", sent=sent)
    name = ", ".join("standard input" if path == "-" else path for path in sources)
    files = [Attachment(name=name or "standard input", text=material)] if material else []
    return Turn(text=text, sent=sent, files=tuple(files))


def read_sent(request: Request | ScoreRequest) -> str:
    """Return what a template made: its last message."""
    messages = request.prompt.messages
    return messages[-1].content if messages else request.prompt.text or ""


@contextlib.contextmanager
def keeping(console: Console, folders: Folders, asked: Turn, *, model: str) -> Iterator[ReplyLog]:
    """Give a log for the replies to a prompt; at the end they are in it, however it came.

    A log that cannot be written is said on stderr and changes nothing else.
    """
    log = ReplyLog(asked, model)
    try:
        yield log
    finally:
        from llmtool.sessions.log import append

        turns = log.turns()
        if turns:
            before = console.interrupts.received  # what was cut off by a signal is kept, too
            try:
                append(
                    Sessions(folders.data / "sessions"),
                    turns,
                    cancelled=lambda: console.interrupts.received != before,
                )
            except Cancelled:
                raise
            except LlmtoolError as exc:
                console.error(f"the reply is not in the log: {exc}")


class ReplyLog:
    """What has come for one prompt."""

    def __init__(self, asked: Turn, model: str) -> None:
        self._asked, self._model = asked, model
        self._started = time.perf_counter()
        self._result: Generation | Classification | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def watch(self, events: Iterator[Token | Generation]) -> Iterator[Token | Generation]:
        """Yield the events of a generation, and remember what they say."""
        try:
            for event in events:
                if isinstance(event, Generation):
                    self._result = event
                elif not event.choice:
                    (self._reasoning if event.reasoning else self._text).append(event.text)
                yield event
        except OutputValidationError as exc:  # it is a reply all the same
            self._result = exc.result if isinstance(exc.result, Generation) else None
            raise
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def take(self, result: Classification) -> None:
        """Remember a label, which came at once."""
        self._result = result

    def turns(self) -> list[Turn]:
        """Return a turn for each reply; one that was cut off is there as far as it came."""
        result, asked = self._result, self._asked
        if result is None:
            if not (self._text or self._reasoning):
                return []
            return [
                msgspec.structs.replace(
                    asked,
                    reply="".join(self._text),
                    reasoning="".join(self._reasoning),
                    finish_reason="interrupted",
                    model=self._model,
                    seconds=round(time.perf_counter() - self._started, 3),
                )
            ]
        first = msgspec.structs.replace(
            asked,
            reply=result.text,
            model=result.model,
            prompt_tokens=result.usage.prompt_tokens,
            cached_tokens=result.usage.cached_tokens,
            completion_tokens=result.usage.completion_tokens,
            seconds=round(result.seconds, 3),
        )
        if isinstance(result, Classification):
            return [first]
        # The counts are those of all replies together, and stand with the first.
        other = msgspec.structs.replace(asked, model=result.model)
        return [
            msgspec.structs.replace(
                other if number else first,
                reply=choice.text,
                reasoning=choice.reasoning or "",
                finish_reason=choice.finish_reason,
                seed=choice.seed,
            )
            for number, choice in enumerate(result.choices)
        ]
