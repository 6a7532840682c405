"""Summarize texts of any length: as a whole, or from notes on their chunks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from llmtool.arguments import check_range
from llmtool.models.hub.callbacks import OnProgress, no_progress
from llmtool.tasks.options import SummarizeOptions, generate_options
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, check_task, prepare
from llmtool.tasks.results import Summary
from llmtool.tasks.streams import Stream

if TYPE_CHECKING:
    from llmtool.tasks.summarize.map_reduce import SummaryEvent, SummaryText
    from llmtool.tasks.summarize.summarizer import Summarizer

_TEMPLATES = {
    "paragraph": "sum",
    "bullets": "sum-bullets",
    "headline": "sum-headline",
    "tldr": "sum-tldr",
}
_MIN_CHUNK = 64


def summarize(
    context: TaskContext, text: str | Iterable[str], options: SummarizeOptions
) -> Summary | Iterator[Summary] | list[Summary]:
    """Summarize a text, or each of several; see `Toolbox.summarize`."""

    def run(texts: Iterable[str]) -> Iterator[Summary]:
        summarizer = prepare_summarizer(context, options)
        name = summarizer.prompts.text_input
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        return raise_failures(summarizer.outcomes(context.engine, cases))

    return map_texts(text, run)


def stream_summarize(
    context: TaskContext,
    text: str,
    options: SummarizeOptions,
    *,
    on_progress: OnProgress = no_progress,
) -> Stream[SummaryText, Summary]:
    """Summarize a text as a stream of its parts; see `Toolbox.stream_summarize`."""
    from llmtool.tasks.summarize.map_reduce import SummaryProgress

    summarizer = prepare_summarizer(context, options)
    case = Case(variables={summarizer.prompts.text_input: text})

    def run() -> Generator[SummaryText | Summary, None, None]:
        stream = summarizer.stream(context.engine, [case])
        events: Generator[SummaryEvent | Summary, None, None] = raise_failures(stream)
        with closing(events):
            for event in events:
                if isinstance(event, SummaryProgress):
                    on_progress(event.n_done, event.n_tokens)
                else:
                    yield event

    return Stream(run(), Summary)


def prepare_summarizer(context: TaskContext, options: SummarizeOptions) -> Summarizer:
    """Check the options of a call and load its templates, once for all its texts."""
    from llmtool.tasks.pipeline.reply_cache import ReplyCache
    from llmtool.tasks.summarize.length import parse_length
    from llmtool.tasks.summarize.prompts import SummaryPrompts
    from llmtool.tasks.summarize.summarizer import Summarizer

    style, length = options.style, parse_length(options.length, options.style)
    strategy = None if options.strategy == "auto" else options.strategy
    check_range("chunk_tokens", options.chunk_tokens, _MIN_CHUNK)
    sampling = msgspec.structs.replace(options.sampling, max_tokens=None)
    notes = msgspec.structs.replace(options, variables={}, sampling=sampling)
    template = options.template or _TEMPLATES[style]
    final = prepare(context, generate_options(options, template=template))
    check_task(final.template, "sum")
    prompts = SummaryPrompts(
        final=final,
        notes=prepare(context, generate_options(notes, template="sum-map")),
        refined_notes=(
            prepare(context, generate_options(notes, template="sum-refine"))
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
        note_cache=ReplyCache(context.notes, context.cache_identity),
    )
