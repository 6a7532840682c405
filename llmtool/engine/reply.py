"""One choice in the making: token bytes in, events out."""

from __future__ import annotations

from llmtool.engine.text_stream import ReasoningTags, StopStrings, ThoughtSplitter, Utf8Stream
from llmtool.engine.types import Token


class Reply:
    """Assembles the text of one choice; `stopped` turns true when a stop string was met.

    Stop strings are looked for in the answer, not in a thought.
    """

    def __init__(
        self,
        request_id: int,
        choice: int,
        *,
        stop: tuple[str, ...] = (),
        marks: ReasoningTags | None = None,
        in_thought: bool = False,
    ) -> None:
        self._id, self._choice = request_id, choice
        self._utf8 = Utf8Stream()
        self._thought = ThoughtSplitter(marks, in_thought=in_thought) if marks else None
        self._stop = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        return self._stop.stopped

    @property
    def in_thought(self) -> bool:
        return self._thought is not None and self._thought.in_thought

    @property
    def undecided(self) -> bool:
        """Whether a thought may still begin."""
        return self._thought is not None and self._thought.undecided

    def push(self, piece: bytes) -> list[Token]:
        """Return the events that a token's bytes make certain."""
        return self._events(self._utf8.push(piece))

    def finish(self) -> list[Token]:
        """Return what was held back, now that nothing more comes."""
        if self.stopped:
            return []
        events = self._events(self._utf8.finish())
        if self._thought and not self.stopped:
            events += self._emit(self._thought.finish())
        rest = self._stop.finish()
        return [*events, Token(self._id, self._choice, rest)] if rest else events

    def _events(self, text: str) -> list[Token]:
        if not text:
            return []
        return self._emit(self._thought.push(text) if self._thought else [(text, False)])

    def _emit(self, pieces: list[tuple[str, bool]]) -> list[Token]:
        events = []
        for text, thought in pieces:
            shown = text if thought else self._stop.push(text)
            if shown:
                events.append(Token(self._id, self._choice, shown, thought))
        return events
