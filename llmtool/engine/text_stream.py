"""Convert token text to reply text: stop strings, reasoning and answer.

Each class has `push`, which takes a chunk and returns the text that is complete, and `finish`,
which returns the pending text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ReasoningTags(NamedTuple):
    """The tags around a model's reasoning. `answer` may begin a reply that has no reasoning."""

    start: str
    end: str
    answer: str = ""


# By text in the chat template; the first match applies. Sources: the templates of gpt-oss,
# Gemma 4, Magistral, and of Qwen3, DeepSeek-R1 and most others.
_KNOWN_TAGS = {
    "<|channel|>analysis": ReasoningTags(
        "<|channel|>analysis<|message|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|channel|>final<|message|>",
    ),
    "<|channel>thought": ReasoningTags("<|channel>thought", "<channel|>"),
    "[THINK]": ReasoningTags("[THINK]", "[/THINK]"),
    "<think>": ReasoningTags("<think>", "</think>"),
}


def find_reasoning_tags(chat_template: str) -> ReasoningTags | None:
    """Return the reasoning tags of a chat template, or None."""
    return next((tags for key, tags in _KNOWN_TAGS.items() if key in chat_template), None)


class StopStrings:
    """Passes text up to the first stop string; text that may begin one is pending.

    Example:
        >>> s = StopStrings(["END"])
        >>> s.push("a E"), s.push("N"), s.push("D b"), s.stopped
        ('a ', '', '', True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._pending = ""
        self.stopped = False

    def push(self, text: str) -> str:
        if self.stopped:
            return ""
        if not self._stop:
            return text
        text = self._pending + text
        starts = [at for at in (text.find(s) for s in self._stop) if at >= 0]
        if starts:
            self.stopped, self._pending = True, ""
            return text[: min(starts)]
        n = max(overlap(text, s) for s in self._stop)
        self._pending = text[len(text) - n :]
        return text[: len(text) - n]

    def finish(self) -> str:
        rest, self._pending = self._pending, ""
        return rest


class ReasoningSplitter:
    """Separates a model's reasoning from its answer.

    Only tags at the beginning of the reply count or, if the prompt opened the reasoning, the first
    end tag. Later tags are ordinary text. Tags and the white space around them are dropped.
    """

    def __init__(self, tags: ReasoningTags, *, in_reasoning: bool = False) -> None:
        self._start, self._end, self._answer = tags
        self._state = "reasoning" if in_reasoning else "undecided"
        self._pending = ""
        self._strip = in_reasoning

    @property
    def in_reasoning(self) -> bool:
        return self._state == "reasoning"

    @property
    def undecided(self) -> bool:
        return self._state == "undecided"

    def push(self, text: str) -> list[tuple[str, bool]]:
        """Return the complete chunks as (text, is reasoning) pairs."""
        out: list[tuple[str, bool]] = []
        self._pending += text
        if self.undecided:
            head = self._pending.lstrip()
            if head.startswith(self._start):
                self._state, self._strip = "reasoning", True
                self._pending = head[len(self._start) :]
            elif self._answer and head.startswith(self._answer):
                self._state, self._strip = "answer", True
                self._pending = head[len(self._answer) :]
            elif not self._start.startswith(head) and not self._answer.startswith(head):
                self._state = "answer"
        if self._state == "reasoning":
            self._split(out)
        if self._state == "answer":
            self._emit(out, self._pending, reasoning=False)
            self._pending = ""
        return out

    def finish(self) -> list[tuple[str, bool]]:
        """Return the pending text."""
        out: list[tuple[str, bool]] = []
        self._emit(out, self._pending, reasoning=self.in_reasoning)
        self._pending = ""
        return out

    def _split(self, out: list[tuple[str, bool]]) -> None:
        before, tag, after = self._pending.partition(self._end)
        if tag:
            self._emit(out, before.rstrip(), reasoning=True)
            self._state, self._strip, self._pending = "answer", True, after
            return
        # White space before an end tag is dropped, so it stays pending too.
        n = overlap(self._pending, self._end)
        complete = self._pending[: len(self._pending) - n].rstrip()
        self._emit(out, complete, reasoning=True)
        self._pending = self._pending[len(complete) :]

    def _emit(self, out: list[tuple[str, bool]], text: str, *, reasoning: bool) -> None:
        if self._strip:
            text = text.lstrip()
        if text:
            self._strip = False
            out.append((text, reasoning))


def overlap(text: str, word: str) -> int:
    """Return the length of the longest suffix of `text` that is a proper prefix of `word`."""
    for n in range(min(len(word) - 1, len(text)), 0, -1):
        if text.endswith(word[:n]):
            return n
    return 0
