"""Summarize one text, or one section: choose sentences, and let the model write from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from llmtool.engine.types import Request, Token
from llmtool.errors import ContextOverflow, LlmtoolError, NoResult
from llmtool.option_names import option
from llmtool.short_repr import short_repr
from llmtool.tasks.options import Style
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.results import Strategy, SummarySentence
from llmtool.tasks.summarize.compose import Composer
from llmtool.tasks.summarize.draft import Draft, quoted, whole_sentences
from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.length import Length
from llmtool.tasks.summarize.prompts import SummaryPrompts
from llmtool.tasks.summarize.source import Sentence
from llmtool.tasks.summarize.verify import lower_words

_EXPANSION = 2  # words that the model reads, for each that it writes
_LINE_WORDS = 120  # read for a headline or one sentence
_MIN_SHARE = 0.85  # of the requested length; a shorter summary gets a warning
_TOKENS_PER_WORD = 1.5


class SummaryText(msgspec.Struct, frozen=True, kw_only=True):
    """The next sentences of a summary, which were checked."""

    id: int
    text: str

    __repr__ = short_repr("text")

    def __str__(self) -> str:
        return self.text


class SummaryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The number of words of a document that have been processed."""

    id: int
    n_done: int
    n_words: int


SummaryEvent = SummaryText | SummaryProgress


class SummaryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How to summarize the texts of one call.

    `prompts` is None for the strategy "extract". `check` raises `ContextOverflow` if a request does
    not fit. `n_sentences` and `chunk_tokens` limit the source sentences in one request.
    """

    strategy: Strategy
    length: Length
    style: Style
    focus: str | None
    cite: bool
    prompts: SummaryPrompts | None = None
    check: Callable[[Request], object] = lambda request: None
    n_sentences: int = 3
    chunk_tokens: int = 1024


class SummaryWorkflow(Workflow[SummaryEvent]):
    """The summary of the sentences of a text, or of a section of it.

    The model writes drafts of several parts in parallel. Their sentences are emitted in order, as
    far as they fit; what a draft lacks is filled with source sentences.
    """

    def __init__(
        self,
        id: int,
        sentences: Sequence[Sentence],
        plan: SummaryPlan,
        *,
        reply_cache: ReplyCache | None = None,
    ) -> None:
        super().__init__(id)
        self.plan = plan
        self.n_words = sum(each.n_words for each in sentences)
        self.seed = self.n_cached = 0
        self._source = ScoredSource(sentences, focus=plan.focus)
        length = plan.length.within(self.n_words)
        self._composer = Composer(length, plan.style, cite=plan.cite, max_words=self.n_words)
        self._reply_cache = reply_cache
        self.drafts: list[Draft] = []
        self._current = 0  # the draft whose sentences are emitted
        self._is_composed = False
        self._retried: set[int] = set()  # drafts
        self._pending: deque[str] = deque()  # sentences that were not yet emitted
        self._n_done = 0
        self._n_reported = -1

    @property
    def is_complete(self) -> bool:
        return self._is_composed

    @property
    def text(self) -> str:
        return self._composer.text

    @property
    def sentences(self) -> list[SummarySentence]:
        return self._composer.sentences

    @property
    def n_rejected(self) -> int:
        return sum(len(draft.faults) for draft in self.drafts)

    @property
    def warnings(self) -> list[str]:
        """What differs from the request: the length, if the text is too short for it."""
        length, composer = self._composer.length, self._composer
        if length.n is None or composer.size >= _MIN_SHARE * composer.target:
            return []
        unit = "sentences" if length.counts_sentences else "words"
        return [
            f"the summary has {composer.size} {unit} instead of {composer.target}; the text has "
            f"{self.n_words} words"
        ]

    def start(self) -> Iterator[Step]:
        if self.plan.strategy != "extract" and self._source.choosable:
            self.drafts, requests = self._make_drafts()
            for index, request in enumerate(requests):
                yield from self._request(index, request)
        self._advance()

    def on_token(self, step: Step, token: Token) -> Iterator[SummaryEvent]:
        if token.text:
            self.drafts[step.target].feed(token.text)
            self._advance()
            yield from self.drain_events()

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        self.seed = self.seed or reply.seed
        if self._reply_cache is not None:
            text = reply.text
            if reply.finish_reason == "length":
                text = whole_sentences(text)
            complete = msgspec.structs.replace(reply, text=text, finish_reason="stop")
            self._reply_cache.save(step.request, complete)
        draft = self.drafts[step.target]
        draft.end(reply.finish_reason)
        yield from self._retry(step.target, step.request)
        self._advance()

    def on_error(self, step: Step, error: LlmtoolError) -> Iterator[Step]:
        """Fail, but quote the text if a batch file lacks the second reply."""
        if not isinstance(error, NoResult) or step.target not in self._retried:
            raise error
        self.drafts[step.target].end("stop")
        self.drafts[step.target].needs_retry = False
        self._advance()
        return iter(())

    def drain_events(self) -> Iterator[SummaryEvent]:
        if self._n_done != self._n_reported:
            self._n_reported = self._n_done
            yield SummaryProgress(id=self.id, n_done=self._n_done, n_words=self.n_words)
        while self._pending:
            yield SummaryText(id=self.id, text=self._pending.popleft())

    # Drafts

    def _make_drafts(self) -> tuple[list[Draft], list[Request]]:
        """Divide the chosen sentences into drafts, with their requests.

        Raises:
            ContextOverflow: the text (strategy "stuff"), or a sentence, does not fit the context.
        """
        indexes, n_sentences = self._choose_sources(), self.plan.n_sentences
        while True:
            drafts = self._divide(indexes, n_sentences)
            requests = [self._first_request(draft) for draft in drafts]
            try:
                for request in requests:
                    self.plan.check(request)
                return drafts, requests
            except ContextOverflow as exc:
                if self.plan.strategy == "stuff":
                    exc.args = (f"{exc}; use {option('strategy', 'write')}",)
                    raise
                if len(drafts) == len(indexes) or n_sentences == 1:
                    raise
                n_sentences = max(1, min(n_sentences, len(indexes)) // 2)

    def _divide(self, indexes: list[int], n_sentences: int) -> list[Draft]:
        """Return drafts from at most `n_sentences` each, each with its share of the length."""
        groups = self._groups(indexes, n_sentences)
        sentences, target = self._source.sentences, self._composer.target
        known = lower_words(sentences)
        sizes = [sum(sentences[i].n_words for i in group) for group in groups]
        total, before = sum(sizes) or 1, 0
        drafts = []
        for group, size in zip(groups, sizes, strict=True):
            # Rounded cumulatively, so that the budgets add up to the target.
            budget = round(target * (before + size) / total) - round(target * before / total)
            before += size
            drafts.append(
                Draft(
                    self._source,
                    group,
                    budget=max(1, budget),
                    style=self.plan.style,
                    lower_words=known,
                )
            )
        return drafts

    def _choose_sources(self) -> list[int]:
        source, length = self._source, self._composer.length
        if self.plan.strategy == "stuff":
            return list(range(len(source.sentences)))
        if length.max_sentences is not None:
            chosen = source.choose(max(_LINE_WORDS, _EXPANSION * length.n_words))
            title = source.choose_line(length.n_words)
            return sorted({*chosen, *title})
        if length.counts_sentences:
            return source.choose_number(_EXPANSION * self._composer.target)
        return source.choose(_EXPANSION * length.n_words)

    def _groups(self, indexes: list[int], n_sentences: int) -> list[list[int]]:
        """Divide indexes into groups of similar size for one request each."""
        if self.plan.strategy == "stuff" or self._composer.length.max_sentences is not None:
            return [indexes]
        sentences = self._source.sentences
        n_tokens = sum(sentences[i].n_words for i in indexes) * _TOKENS_PER_WORD
        n_groups = max(-(-len(indexes) // n_sentences), -(-int(n_tokens) // self.plan.chunk_tokens))
        cuts = [round(k * len(indexes) / n_groups) for k in range(n_groups + 1)]
        return [indexes[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]

    def _first_request(self, draft: Draft) -> Request:
        assert self.plan.prompts is not None
        return self.plan.prompts.request(draft.source, n=draft.budget)

    def _request(self, index: int, request: Request) -> Iterator[Step]:
        """Yield the step for a request, or use its cached reply."""
        cached = None if self._reply_cache is None else self._reply_cache.load(request)
        if cached is None:
            yield Step(request=request, target=index, is_live=True)
            return
        self.n_cached += 1
        self.drafts[index].feed(cached.text)
        self.drafts[index].end("stop")
        yield from self._retry(index, request)

    def _retry(self, index: int, request: Request) -> Iterator[Step]:
        """Yield the request for the rest of a draft in which a sentence failed."""
        draft, prompts = self.drafts[index], self.plan.prompts
        if not draft.needs_retry or prompts is None:
            return
        draft.needs_retry = False
        self._retried.add(index)
        request = prompts.request(draft.source, n=draft.budget, accepted=draft.accepted)
        yield from self._request(index, prompts.retry(request))

    # The summary

    def _advance(self) -> None:
        """Compose the sentences that are ready, in order."""
        composer = self._composer
        while self._current < len(self.drafts):
            draft = self.drafts[self._current]
            while draft.ready:
                sentence, indexes = draft.ready.pop(0)
                if not composer.is_full and composer.fits(sentence.text):
                    self._pending.append(composer.add(sentence))
                else:
                    draft.used -= set(indexes)
            if not draft.is_done:
                return
            due = sum(each.budget for each in self.drafts[: self._current + 1])
            is_line = composer.length.max_sentences is not None
            while not is_line and not composer.is_full and composer.size < _MIN_SHARE * due:
                quote = draft.quote(composer.fits)
                if quote is None:
                    break
                self._pending.append(composer.add(quote))
            self._current += 1
            self._n_done += sum(self._source.sentences[i].n_words for i in draft.indexes)
        if not self._is_composed:
            self._fill()
            self._n_done = self.n_words
            self._is_composed = True

    def _fill(self) -> None:
        """Add source sentences up to the length: all of them if nothing was written."""
        composer, source = self._composer, self._source
        if not source.choosable:
            return
        if not composer.sentences:
            for index in self._extract():
                self._pending.append(composer.add(quoted(source, index)))
            return
        if composer.length.max_sentences is not None:
            return
        used = set().union(*(draft.used for draft in self.drafts))
        for index in source.ranked(used):
            sentence = quoted(source, index)
            if not composer.is_full and composer.fits(sentence.text):
                self._pending.append(composer.add(sentence))

    def _extract(self) -> list[int]:
        """Return the indexes of the sentences to quote if nothing is written."""
        source, length = self._source, self._composer.length
        if length.max_sentences == 1:
            return source.choose_line(length.n_words)
        if length.counts_sentences:
            return source.choose_number(self._composer.target)
        return source.choose(length.n_words)[: length.max_sentences]
