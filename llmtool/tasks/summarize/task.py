"""Summarize texts of any length: as a whole, or in parts whose notes are summarized."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, overload

import msgspec

from llmtool.engine.types import Failed
from llmtool.errors import UsageError
from llmtool.tasks.options import Strategy, Style, SummarizeOptions, generate_options, make_options
from llmtool.tasks.pipeline.context import Tools
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Summary

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import SummarizeKeywords
    from llmtool.tasks.summarize.length import Length
    from llmtool.tasks.summarize.map_reduce import SummaryEvent
    from llmtool.tasks.summarize.summarizer import Summarizer

_TEMPLATES = {
    "paragraph": "sum",
    "bullets": "sum-bullets",
    "headline": "sum-headline",
    "tldr": "sum-tldr",
}
_STRATEGIES = ("auto", "stuff", "map-reduce", "refine")
_MIN_CHUNK = 64


class SummarizeTask(Tools):
    """`summarize` and its forms."""

    @overload
    def summarize(self, text: str, **options: Unpack[SummarizeKeywords]) -> Summary: ...
    @overload
    def summarize(
        self, text: Iterator[str], **options: Unpack[SummarizeKeywords]
    ) -> Iterator[Summary]: ...
    @overload
    def summarize(
        self, text: list[str] | tuple[str, ...], **options: Unpack[SummarizeKeywords]
    ) -> list[Summary]: ...
    def summarize(
        self, text: str | Iterable[str], **options: Unpack[SummarizeKeywords]
    ) -> Summary | Iterator[Summary] | list[Summary]:
        """Summarize a text of any length, or several.

        A text that is too long to be read well as a whole is cut at its structure; notes on all
        parts are written together, and summarized, in as many rounds as it takes. A summary that
        loses what its notes held, or has numbers that they do not have, is written once more, and
        then replaced by sentences of the notes (`Summary.fallback`). A sequence gives a list; an
        iterator, which is read as the results need it, gives an iterator; both in the texts' order.

        Args:
            text: what to summarize, or several.
            length: "short", "medium", "long", "100 words", "3 sentences" or "5 bullets". A number
                of words is kept to within 30 %.
            style: "paragraph", "bullets", "headline" or "tldr".
            focus: what it is about first of all.
            sections: whether each section under the top headings has a summary of its own.
            strategy: "auto", "stuff" (as a whole), "map-reduce" or "refine" (part by part).
            chunk_tokens: how long the parts are at most; None takes 1,024.
            template: a prompt template for the summary, by name or path.
            variables: values for that template's other inputs.

        Raises:
            UsageError: an option is wrong.
            ContextOverflow: the strategy is "stuff", and a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box.summarize(report, length="100 words").text             # doctest: +SKIP
            'The library of Marbury closes for repairs from March to June. …'
        """
        summarizer = self.prepare_summarize(make_options(SummarizeOptions, options))
        if isinstance(text, str):
            return next(self._summarize_each(summarizer, [text]))
        results = self._summarize_each(summarizer, text)
        return results if isinstance(text, Iterator) else list(results)

    def stream_summarize(
        self, text: str, **options: Unpack[SummarizeKeywords]
    ) -> Generator[SummaryEvent | Summary, None, None]:
        """Like `summarize` for one text, but yield progress and pieces, then the `Summary`.

        The texts of the `SummaryText` events, joined, are the summary's. They come as they are
        written where the text was read as a whole, else when what was written has been checked.
        """
        summarizer = self.prepare_summarize(make_options(SummarizeOptions, options))
        yield from self.stream_summary(
            summarizer, Case(variables={summarizer.prompts.text_input: text})
        )

    def stream_summary(
        self, summarizer: Summarizer, case: Case
    ) -> Generator[SummaryEvent | Summary, None, None]:
        """`stream_summarize` of one case, with options that `prepare_summarize` has checked."""
        for event in summarizer.stream(self.engine, [case]):
            if isinstance(event, Failed):
                raise event.error
            yield event

    @overload
    async def asummarize(self, text: str, **options: Unpack[SummarizeKeywords]) -> Summary: ...
    @overload
    async def asummarize(
        self, text: list[str] | tuple[str, ...], **options: Unpack[SummarizeKeywords]
    ) -> list[Summary]: ...
    async def asummarize(
        self, text: str | list[str] | tuple[str, ...], **options: Unpack[SummarizeKeywords]
    ) -> Summary | list[Summary]:
        """`summarize` for asyncio: runs in a thread; cancelling the task stops it."""
        texts = [text] if isinstance(text, str) else text
        found = [each async for each in self.asummarize_each(texts, **options)]
        return found[0] if isinstance(text, str) else found

    def asummarize_each(
        self, texts: Iterable[str], **options: Unpack[SummarizeKeywords]
    ) -> AsyncIterator[Summary]:
        """`summarize` of many texts for asyncio: results as they are there, in their order."""
        return self.turns.stream(
            lambda: self._summarize_each(
                self.prepare_summarize(make_options(SummarizeOptions, options)), texts
            )
        )

    @staticmethod
    def check_summarize(options: SummarizeOptions) -> tuple[Style, Length, Strategy | None]:
        """Return the style, the length and the strategy of a call, None where one is to be chosen.

        Raises:
            UsageError: one is unknown.
        """
        from llmtool.tasks.summarize.length import STYLES, parse_length

        style, strategy = options.style, options.strategy
        if style not in STYLES:
            raise UsageError(f"unknown style {style!r} (there are: {', '.join(STYLES)})")
        if strategy not in _STRATEGIES:
            known = ", ".join(_STRATEGIES)
            raise UsageError(f"unknown strategy {strategy!r} (there are: {known})")
        return style, parse_length(options.length, style), None if strategy == "auto" else strategy

    def prepare_summarize(self, options: SummarizeOptions) -> Summarizer:
        """Check the options of a call and load its templates, once for all its texts.

        Raises:
            UsageError, TemplateError: as `summarize` says.
        """
        from llmtool.tasks.summarize.map_reduce import NoteCache
        from llmtool.tasks.summarize.prompts import SummaryPrompts
        from llmtool.tasks.summarize.summarizer import Summarizer

        style, length, strategy = self.check_summarize(options)
        if options.chunk_tokens < _MIN_CHUNK:
            raise UsageError(
                f"chunk_tokens is {options.chunk_tokens}; it must be at least {_MIN_CHUNK}"
            )
        sampling = msgspec.structs.replace(options.sampling, max_tokens=None)
        notes = msgspec.structs.replace(options, variables={}, sampling=sampling)
        template = options.template or _TEMPLATES[style]
        prompts = SummaryPrompts(
            final=self.prepare(generate_options(options, template=template)),
            notes=self.prepare(generate_options(notes, template="sum-map")),
            refined_notes=(
                self.prepare(generate_options(notes, template="sum-refine"))
                if strategy == "refine"
                else None
            ),
            length=length,
            style=style,
            focus=options.focus,
        )
        return Summarizer(
            prompts=prompts,
            strategy=strategy,
            by_section=options.sections,
            chunk_tokens=options.chunk_tokens,
            note_cache=NoteCache(self.summaries, self.model_identity),
        )

    def _summarize_each(
        self, summarizer: Summarizer, texts: Iterable[str]
    ) -> Generator[Summary, None, None]:
        if isinstance(texts, Mapping):
            raise UsageError("texts are a sequence or an iterator")
        name = summarizer.prompts.text_input
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        for outcome in summarizer.outcomes(self.engine, cases):
            if isinstance(outcome, Failed):
                raise outcome.error
            yield outcome
