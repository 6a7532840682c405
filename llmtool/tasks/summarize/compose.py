"""Join the sentences of a summary in its style, up to its length."""

from __future__ import annotations

import re
from typing import Literal

from llmtool.tasks.options import Style
from llmtool.tasks.results import SummarySentence
from llmtool.tasks.summarize.length import Length
from llmtool.tasks.summarize.verify import Copies
from llmtool.text.words import WIDE, count_words

LOW, HIGH = 0.9, 1.1  # times the requested number of words
LOW_NAMED, HIGH_NAMED = 0.6, 1.3  # the same for a named length, such as "short"
_CLOSED = re.compile(r"[.!?…。！？:：][\"'”’»)\]」』”’）]*\Z")
_OPEN = re.compile(r"\s*[,;，；、–—-]+\Z")
_WIDE_END = re.compile(rf"[{WIDE}，。！？」』”）]\Z")


class Composer:
    """The text of a summary while it grows; `text` never changes where it was returned.

    `max_words` is the number of words that it can have at most, those of the source.
    """

    def __init__(self, length: Length, style: Style, *, cite: bool, max_words: int) -> None:
        self.length, self.style = length, style
        self._n_expected = min(self.target, max_words)  # words, for the division into paragraphs
        self._cite = cite
        self.text = ""
        self.sentences: list[SummarySentence] = []
        self.n_words = 0
        self._n_paragraphs = 1
        self._copies = Copies()

    @property
    def size(self) -> int:
        """The length so far, in the unit of the requested length."""
        return len(self.sentences) if self.length.counts_sentences else self.n_words

    @property
    def target(self) -> int:
        if self.length.counts_sentences and self.length.n is not None:
            return self.length.n
        return self.length.n_words

    @property
    def is_full(self) -> bool:
        limit = self.length.max_sentences
        if limit is not None and len(self.sentences) >= limit:
            return True
        low = 1 if self.length.counts_sentences else LOW if self.length.n is not None else LOW_NAMED
        return self.size >= low * self.target

    def fits(self, text: str) -> bool:
        """Return whether a sentence can be added: it does not exceed the length, and is new."""
        if self._copies.has(text):
            return False
        if self.length.counts_sentences:
            return self.size < self.target
        high = HIGH if self.length.n is not None else HIGH_NAMED
        return self.size + count_words(text) <= high * self.target

    def add(self, sentence: SummarySentence) -> str:
        """Add a sentence; return what it adds to the text."""
        self._copies.add(sentence.text)
        added = self._separator() + self._formatted(sentence)
        self.sentences.append(sentence)
        self.n_words += count_words(sentence.text)
        self.text += added
        return added

    def _separator(self) -> str:
        if not self.sentences:
            return ""
        if self.style == "bullets":
            return "\n"
        if self.length.unit == "paragraphs" and self.length.n is not None:
            share = self._n_expected / self.length.n
            if self._n_paragraphs < self.length.n and self.n_words >= share * self._n_paragraphs:
                self._n_paragraphs += 1
                return "\n\n"
        return "" if not self._cite and _WIDE_END.search(self.text) else " "

    def _formatted(self, sentence: SummarySentence) -> str:
        text = _OPEN.sub("", sentence.text)
        if self.style == "headline":
            text = re.sub(r"(?<!\.)[.。]\Z", "", text)
        elif self.style != "bullets" and not _CLOSED.search(text):
            text += "。" if re.search(rf"[{WIDE}]\Z", text) else "."
        elif self.style != "bullets" and text[-1:] in ":：":
            text = text[:-1] + ("。" if text[-1] == "：" else ".")
        if self._cite:
            text += f" [{sentence.start}–{sentence.end}]"
        return f"- {text}" if self.style == "bullets" else text


def make_sentence(
    text: str, start: int, end: int, kind: Literal["written", "quoted"]
) -> SummarySentence:
    """Return a sentence of a summary on one line."""
    return SummarySentence(text=" ".join(text.split()), start=start, end=end, kind=kind)
