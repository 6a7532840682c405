"""What a model writes about a few sentences of a source, checked sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmtool.engine.types import FinishReason
from llmtool.tasks.options import Style
from llmtool.tasks.results import SummarySentence
from llmtool.tasks.summarize.compose import make_sentence
from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.source import Sentence, read_sentences
from llmtool.tasks.summarize.verify import Copies, Passage
from llmtool.text.words import count_words, words_of

_MIN_DENSITY = 0.9  # of a written sentence, relative to the best sentence of its source
_RETOLD = 0.5  # share of a source sentence that is retained if it was written
_LABELS = (":", "：")  # a first line such as "Here is a summary:" is not part of it


class Draft:
    """The sentences that a model writes from the source sentences at `indexes`.

    Give it each reply with `feed` and `end`. `ready` are sentences that passed the checks, with
    the indexes of their sources. After the first that fails, the rest of the reply is ignored and
    `needs_retry` set; in the second reply, a failing sentence is replaced by a source sentence.

    Args:
        budget: the words or sentences that the draft should have.
        lower_words: see `Passage`.
    """

    def __init__(
        self,
        source: ScoredSource,
        indexes: Sequence[int],
        *,
        budget: int,
        style: Style,
        lower_words: frozenset[str],
    ) -> None:
        self.indexes, self.budget = indexes, budget
        self._source, self._style = source, style
        self._passage = Passage([source.sentences[i] for i in indexes], lower_words)
        self._copies = Copies()
        self._buffer = ""
        self._attempt = 0
        self.ready: list[tuple[SummarySentence, tuple[int, ...]]] = []
        self.accepted: list[str] = []  # sentences of the replies, in order
        self.n_copied = 0  # of them that are sentences of the source
        self.faults: list[str] = []
        self.used: set[int] = set()  # indexes of sentences that are written or quoted
        self.needs_retry = self.is_done = False

    @property
    def source(self) -> list[Sentence]:
        """The sentences that the model writes from."""
        return [self._source.sentences[i] for i in self.indexes]

    def feed(self, text: str) -> None:
        """Add text of a reply."""
        self._buffer += text
        self._take_sentences(is_end=False)

    def end(self, finish_reason: FinishReason) -> None:
        """End a reply; an unfinished last sentence is dropped."""
        if finish_reason == "length":
            self._buffer = whole_sentences(self._buffer)
        self._take_sentences(is_end=True)
        self._buffer = ""
        if self.needs_retry and self._attempt == 0:
            self._attempt = 1
            return
        self.needs_retry, self.is_done = False, True

    def quote(self, fits: Callable[[str], bool]) -> SummarySentence | None:
        """Return the best source sentence that is not used and fits, and mark it as used."""
        for index in self._source.ranked(self.used):
            if index in self.indexes and fits(self._source.sentences[index].text):
                self.used.add(index)
                return quoted(self._source, index)
        return None

    def _take_sentences(self, *, is_end: bool) -> None:
        """Check the sentences of the buffer that have ended."""
        if self.needs_retry and self._attempt == 0:
            return
        if self._style == "headline":
            line = self._buffer.strip().split("\n", 1)[0].strip("\"'#* ")
            if is_end and (sentences := read_sentences(line)):
                self._check(sentences[0].text)
            return
        sentences = read_sentences(self._buffer)
        ended = sentences if is_end else sentences[:-1]
        for sentence in ended:
            self._check(sentence.text)
            if self.needs_retry and self._attempt == 0:
                return
        if ended:
            self._buffer = self._buffer[ended[-1].end :]

    def _check(self, text: str) -> None:
        if text.endswith(_LABELS) and not self.accepted:
            return
        alignment = self._passage.align(text)
        fault = self._passage.find_fault(text, alignment)
        indexes = tuple(self.indexes[i] for i in alignment.indexes)
        if fault is None and self._copies.has(text):
            fault = "it repeats an earlier sentence"
        if fault is None and self._style != "headline" and not self._is_dense(text, indexes):
            fault = "it says less than its source in as many words"
        if fault is None:
            self._accept(text, indexes)
            return
        self.faults.append(fault)
        if self._attempt == 0:
            self.needs_retry = True
            return
        if self._style in ("headline", "tldr"):
            return
        replacement = self.quote(lambda quote: not self._copies.has(quote))
        if replacement is not None:
            self._copies.add(replacement.text)
            self.ready.append((replacement, ()))

    def _accept(self, text: str, indexes: tuple[int, ...]) -> None:
        sentences = [self._source.sentences[i] for i in indexes]
        is_quote = any(text == each.text for each in sentences)
        self.n_copied += any(words_of(text) == words_of(each.text) for each in sentences)
        written = make_sentence(
            text,
            min(each.start for each in sentences),
            max(each.end for each in sentences),
            "quoted" if is_quote else "written",
        )
        self._copies.add(text)
        self.accepted.append(text)
        self.used |= {i for i in indexes if self._source.retention(i, text) >= _RETOLD}
        self.ready.append((written, indexes))

    def _is_dense(self, text: str, indexes: tuple[int, ...]) -> bool:
        """Return whether a sentence says as much per word as the best of its source sentences."""
        scores, sentences = self._source.scores, self._source.sentences
        fresh = [i for i in indexes if i not in self.used and scores[i]]
        if not fresh:
            return False
        value = sum(scores[i] * self._source.retention(i, text) for i in fresh)
        best = max(scores[i] / max(1, sentences[i].n_words) for i in fresh)
        return value / max(1, count_words(text)) >= _MIN_DENSITY * best


def whole_sentences(text: str) -> str:
    """Return a text without its last sentence if that has no end.

    Example:
        >>> whole_sentences("It rains. It"), whole_sentences("It rains.")
        ('It rains.', 'It rains.')
    """
    sentences = read_sentences(text)
    if not sentences or text.rstrip()[-1] in '.!?。！？"”':
        return text
    return text[: sentences[-2].end] if len(sentences) > 1 else ""


def quoted(source: ScoredSource, index: int) -> SummarySentence:
    """Return a sentence of a source as a sentence of a summary."""
    sentence = source.sentences[index]
    return make_sentence(sentence.text, sentence.start, sentence.end, "quoted")
