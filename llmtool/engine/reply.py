"""Convert the token bytes of one choice to events."""

from __future__ import annotations

import codecs

from llmtool.engine.text_stream import (
    ControlTokens,
    ReasoningSplitter,
    ReasoningTags,
    StopStrings,
)
from llmtool.engine.types import Token


class Reply:
    """The text of one choice so far: decodes UTF-8, separates reasoning, applies stop strings.

    `stopped` is true after a stop string. Stop strings apply to the answer, not to the reasoning.
    With `is_plain` all text is the answer; with `strip` the answer begins after its white space.
    For the other arguments, see `ReasoningSplitter`.
    """

    def __init__(
        self,
        request_id: int,
        choice: int,
        *,
        stop: tuple[str, ...] = (),
        tags: ReasoningTags | None = None,
        opening: str = "",
        controls: ControlTokens | None = None,
        prompt: str = "",
        is_plain: bool = False,
        strip: bool = False,
    ) -> None:
        self._id, self._choice = request_id, choice
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._splitter = (
            None
            if is_plain
            else ReasoningSplitter(tags, opening=opening, controls=controls, prompt=prompt)
        )
        self._stop = StopStrings(stop)
        self._strip = strip

    @property
    def stopped(self) -> bool:
        return self._stop.stopped

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the reply."""
        return self._stop.found

    @property
    def in_reasoning(self) -> bool:
        return self._splitter is not None and self._splitter.in_reasoning

    @property
    def undecided(self) -> bool:
        """Whether the reply may still begin with reasoning."""
        return self._splitter is not None and self._splitter.undecided

    @property
    def awaits_answer(self) -> bool:
        """Whether the reasoning has ended, and a tag of the answer may follow."""
        return self._splitter is not None and self._splitter.awaits_answer

    def continues_after(self, char: str) -> bool:
        """Return whether a control token ends only the reasoning, although it may end replies."""
        return self._splitter is not None and self._splitter.continues_after(char)

    @property
    def closing(self) -> str:
        """The text that ends the current reasoning and begins the answer."""
        return "" if self._splitter is None else self._splitter.closing

    def push(self, chunk: bytes) -> list[Token]:
        """Append the bytes of a token; return the events for text that is complete."""
        return self._events(self._utf8.decode(chunk))

    def push_control(self, char: str) -> list[Token]:
        """Append a control token, as `ControlTokens` writes it."""
        return [] if self._splitter is None else self._events(char)

    def finish(self) -> list[Token]:
        """Return the events for the pending text."""
        if self.stopped:
            return []
        events = self._events(self._utf8.decode(b"", final=True))
        if self._splitter and not self.stopped:
            events += self._emit(self._splitter.finish())
        rest = self._stop.finish()
        return [*events, Token(self._id, self._choice, rest)] if rest else events

    def _events(self, text: str) -> list[Token]:
        if not text:
            return []
        return self._emit(self._splitter.push(text) if self._splitter else [(text, False)])

    def _emit(self, chunks: list[tuple[str, bool]]) -> list[Token]:
        events = []
        for text, is_reasoning in chunks:
            if is_reasoning:
                events.append(Token(self._id, self._choice, reasoning=text))
                continue
            if self._strip:
                text = text.lstrip()
                self._strip = not text
            if visible := self._stop.push(text):
                events.append(Token(self._id, self._choice, visible))
        return events
