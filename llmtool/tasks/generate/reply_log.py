"""Convert the events of a reply to session turns, for the log of single replies."""

from __future__ import annotations

import time
from collections.abc import Generator

import msgspec

from llmtool.engine.types import Request, ScoreRequest, Token
from llmtool.errors import OutputValidationError
from llmtool.sessions.types import Attachment, Turn
from llmtool.tasks.results import Classification, Generation
from llmtool.tasks.streams import Stream


def make_turn(text: str | None, input: str | None, *, sources: list[str], sent: str) -> Turn:
    """Return a turn without a reply.

    Args:
        text: the prompt; if None, `input` is the prompt.
        input: the text of the input files.
        sources: the names of these files, `-` for standard input.
        sent: the message that the template rendered, "" if it equals the prompt.
    """
    if text is None:
        return Turn(user=input or "", sent=sent)
    name = ", ".join("standard input" if path == "-" else path for path in sources)
    files = [Attachment(name=name or "standard input", text=input)] if input else []
    return Turn(user=text, sent=sent, files=tuple(files))


def last_message(request: Request | ScoreRequest) -> str:
    """Return the last message of a request, or its text if it has no messages."""
    messages = request.prompt.messages
    return messages[-1].content if messages else request.prompt.text or ""


class ReplyLog:
    """Collects the replies to a prompt, also if they are interrupted.

    Args:
        turn: a turn with the prompt, see `make_turn`.

    Example:
        >>> from llmtool import Toolbox
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> log = ReplyLog(Turn(user="Say hello"), model="scripted")
        >>> box = Toolbox(engine=ScriptedEngine("Hello!"))
        >>> log.watch(box.stream_generate("Say hello")).result.text
        'Hello!'
        >>> [turn.text for turn in log.turns()]
        ['Hello!']

    `sessions.log.append` saves the turns.
    """

    def __init__(self, turn: Turn, *, model: str) -> None:
        self._turn, self._model = turn, model
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

    def turns(self) -> list[Turn]:
        """Return a turn for each reply, including an interrupted one."""
        result, prompt = self._result, self._turn
        if result is None:
            text, reasoning = "".join(self._text), "".join(self._reasoning)
            if not (text or reasoning):
                return []
            return [
                msgspec.structs.replace(
                    prompt,
                    text=text,
                    reasoning=reasoning,
                    finish_reason="interrupted",
                    model=self._model,
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
