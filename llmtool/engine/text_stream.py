"""From token bytes to reply text: UTF-8 across tokens, stop strings, and a model's thought.

Each step is fed pieces as they come and gives out what is certain; `finish` gives out the rest.
Joining what came out is, by construction, the whole text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple


class ReasoningTags(NamedTuple):
    """How a model marks its thought; `answer` may open a reply that has none."""

    start: str
    end: str
    answer: str = ""


# The first whose key stands in the chat template is taken. Sources: the templates of gpt-oss,
# Gemma 4, Magistral, and of Qwen3, DeepSeek-R1 and most others.
_KNOWN_MARKS = {
    "<|channel|>analysis": ReasoningTags(
        "<|channel|>analysis<|message|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|channel|>final<|message|>",
    ),
    "<|channel>thought": ReasoningTags("<|channel>thought", "<channel|>"),
    "[THINK]": ReasoningTags("[THINK]", "[/THINK]"),
    "<think>": ReasoningTags("<think>", "</think>"),
}


def thought_marks(chat_template: str) -> ReasoningTags | None:
    """Return how a model with this chat template marks its thought, or None if it does not."""
    return next((m for key, m in _KNOWN_MARKS.items() if key in chat_template), None)


class Utf8Stream:
    """Bytes to text: a character that is split over pieces waits, a bad byte becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class StopStrings:
    """Passes text on until the first of `stop` appears; never a part of one.

    Example:
        >>> s = StopStrings(["END"])
        >>> s.push("a E"), s.push("N"), s.push("D b"), s.stopped
        ('a ', '', '', True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        if self.stopped:
            return ""
        if not self._stop:
            return text
        text = self._held + text
        starts = [at for at in (text.find(s) for s in self._stop) if at >= 0]
        if starts:
            self.stopped, self._held = True, ""
            return text[: min(starts)]
        keep = max(overlap(text, s) for s in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return rest


class ThoughtSplitter:
    """Tells a model's thought from its answer.

    A thought is what stands between its marks at the very beginning of a reply (or from its first
    byte, when the prompt already opened it); later marks are ordinary text. The marks and the
    white space around them belong to neither.
    """

    def __init__(self, marks: ReasoningTags, *, in_thought: bool = False) -> None:
        self._start, self._end, self._answer = marks
        self._state = "thought" if in_thought else "before"
        self._held = ""
        self._strip = in_thought

    @property
    def in_thought(self) -> bool:
        return self._state == "thought"

    @property
    def undecided(self) -> bool:
        return self._state == "before"

    def push(self, text: str) -> list[tuple[str, bool]]:
        """Return the pieces that are certain, each with whether it is thought."""
        out: list[tuple[str, bool]] = []
        self._held += text
        if self._state == "before":
            begun = self._held.lstrip()
            if begun.startswith(self._start):
                self._state, self._strip = "thought", True
                self._held = begun[len(self._start) :]
            elif self._answer and begun.startswith(self._answer):
                self._state, self._strip = "answer", True
                self._held = begun[len(self._answer) :]
            elif not self._start.startswith(begun) and not self._answer.startswith(begun):
                self._state = "answer"
        if self._state == "thought":
            self._split_thought(out)
        if self._state == "answer":
            self._emit(out, self._held, thought=False)
            self._held = ""
        return out

    def finish(self) -> list[tuple[str, bool]]:
        """Return what was held back."""
        out: list[tuple[str, bool]] = []
        self._emit(out, self._held, thought=self.in_thought)
        self._held = ""
        return out

    def _split_thought(self, out: list[tuple[str, bool]]) -> None:
        thought, mark, rest = self._held.partition(self._end)
        if mark:
            self._emit(out, thought.rstrip(), thought=True)
            self._state, self._strip, self._held = "answer", True, rest
            return
        # White space before the end mark is dropped with it, so it waits as well.
        keep = overlap(self._held, self._end)
        sure = self._held[: len(self._held) - keep].rstrip()
        self._emit(out, sure, thought=True)
        self._held = self._held[len(sure) :]

    def _emit(self, out: list[tuple[str, bool]], text: str, *, thought: bool) -> None:
        if self._strip:
            text = text.lstrip()
        if text:
            self._strip = False
            out.append((text, thought))


def overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of `text` begin `mark` (less than all of it)."""
    for n in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:n]):
            return n
    return 0
