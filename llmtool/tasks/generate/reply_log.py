"""Convert replies to session turns for the log, and logged turns to messages."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Message, Request, ScoreRequest, Token
from llmtool.errors import OutputValidationError
from llmtool.tasks.results import Classification, Generation
from llmtool.tasks.streams import Stream

if TYPE_CHECKING:
    from llmtool.sessions.types import Turn


def make_turn(
    request: Request | ScoreRequest,
    *,
    text: str | None,
    input: str | None,
    sources: list[str],
    template: str,
    model: str,
    previous: Turn | None = None,
) -> Turn:
    """Return a turn without a reply.

    Args:
        text: the prompt; if None, `input` is the prompt.
        input: the text of the input files.
        sources: the names of these files, `-` for standard input.
        model: a reference of the model.
        previous: the turn that this one continues.
    """
    from llmtool.sessions.log import exchange_id
    from llmtool.sessions.types import Attachment, Exchange, Turn

    messages = request.prompt.messages
    sent = messages[-1].content if messages else request.prompt.text or ""
    has_system = bool(messages) and messages[0].role == "system"
    files: tuple[Attachment, ...] = ()
    if text is not None and input:
        name = ", ".join("standard input" if path == "-" else path for path in sources)
        files = (Attachment(name=_valid(name) or "standard input", text=input),)
    user = (input or "") if text is None else text
    return Turn(
        user=user,
        sent="" if sent == user else sent,
        files=files,
        exchange=Exchange(
            id="",
            previous=exchange_id(previous) if previous is not None else "",
            model=model,
            template=template,
            system=messages[0].content if has_system else "",
            prefill=request.prompt.prefill,
        ),
    )


def to_history(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Return logged turns, each with a reply, as the messages that the model saw.

    System messages are omitted.

    Example:
        >>> from llmtool.sessions.types import Turn
        >>> [message.content for message in to_history([Turn(user="Hi", text="Hello!")])]
        ['Hi', 'Hello!']
    """
    from llmtool.tasks.chat.messages import user_text

    messages = []
    for turn in turns:
        prefill = turn.exchange.prefill if turn.exchange is not None else ""
        messages.append(Message("user", user_text(turn)))
        messages.append(Message("assistant", prefill + turn.text))
    return tuple(messages)


class ReplyLog:
    """Collects the replies to a prompt, also if they are interrupted.

    Example:
        >>> from llmtool import Toolbox
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> from llmtool.sessions.types import Turn
        >>> log = ReplyLog()
        >>> box = Toolbox(engine=ScriptedEngine("Hello!"))
        >>> log.watch(box.stream_generate("Say hello")).result.text
        'Hello!'
        >>> [turn.text for turn in log.turns(Turn(user="Say hello"), model="scripted")]
        ['Hello!']

    `sessions.log.append` saves the turns.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._result: Generation | Classification | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def watch(self, stream: Stream[Token, Generation]) -> Stream[Token, Generation]:
        """Return the same stream, which collects its replies."""
        return Stream(self._watch(stream), Generation)

    def _watch(
        self, stream: Stream[Token, Generation]
    ) -> Generator[Token | Generation, None, None]:
        try:
            with stream:
                for token in stream:
                    if not token.choice:
                        self._text.append(token.text)
                        self._reasoning.append(token.reasoning)
                    yield token
                self._result = stream.result
                yield self._result
        except OutputValidationError as exc:  # an invalid reply is logged as well
            self._result = exc.result if isinstance(exc.result, Generation) else None
            raise

    def add(self, result: Classification) -> None:
        """Add the result of a classification."""
        self._result = result

    @property
    def is_empty(self) -> bool:
        """Whether nothing was generated."""
        return self._result is None and not any(self._text) and not any(self._reasoning)

    def turns(self, prompt: Turn, *, model: str) -> list[Turn]:
        """Return a turn for each reply, including an interrupted one.

        Args:
            prompt: a turn with the prompt, see `make_turn`.
            model: the name of the model, for an interrupted reply.
        """
        return [_with_id(turn) for turn in self._turns(prompt, model)]

    def _turns(self, prompt: Turn, model: str) -> list[Turn]:
        result = self._result
        if self.is_empty:
            return []
        if result is None:
            return [
                msgspec.structs.replace(
                    prompt,
                    text="".join(self._text),
                    reasoning="".join(self._reasoning),
                    finish_reason="interrupted",
                    model=model,
                    seconds=round(time.perf_counter() - self._started, 3),
                )
            ]
        first = msgspec.structs.replace(
            prompt,
            text=result.text,
            model=result.model,
            prompt_tokens=result.usage.prompt_tokens,
            cached_tokens=result.usage.cached_tokens,
            completion_tokens=result.usage.completion_tokens,
            seconds=round(result.seconds, 3),
        )
        if isinstance(result, Classification):
            return [first]
        # The first turn has the counts, which are sums over all replies.
        other = msgspec.structs.replace(prompt, model=result.model)
        return [
            msgspec.structs.replace(
                other if number else first,
                text=choice.text,
                reasoning=choice.reasoning or "",
                finish_reason=choice.finish_reason,
                seed=choice.seed,
            )
            for number, choice in enumerate(result.choices)
        ]


def _with_id(turn: Turn) -> Turn:
    """Return a logged turn with a random id."""
    turn = msgspec.structs.replace(turn, model=_valid(turn.model))
    if turn.exchange is None:
        return turn
    exchange = msgspec.structs.replace(turn.exchange, id=os.urandom(6).hex())
    return msgspec.structs.replace(turn, exchange=exchange)


def _valid(name: str) -> str:
    """Return the name of a file as valid Unicode; bytes that are not UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
