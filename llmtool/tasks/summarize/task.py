"""Summarize texts of any length: quote their sentences, or let the model write from them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from llmtool.arguments import check_range
from llmtool.models.hub.callbacks import OnProgress, no_progress
from llmtool.tasks.options import SummarizeOptions, generate_options
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, check_task, prepare
from llmtool.tasks.results import Summary
from llmtool.tasks.streams import Stream

if TYPE_CHECKING:
    from llmtool.engine.types import Engine
    from llmtool.tasks.summarize.summarizer import Summarizer
    from llmtool.tasks.summarize.workflow import SummaryEvent, SummaryText

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
        name = summarizer.text_input
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        return raise_failures(summarizer.outcomes(_engine(context, summarizer), cases))

    return map_texts(text, run)


def stream_summarize(
    context: TaskContext,
    text: str,
    options: SummarizeOptions,
    *,
    on_progress: OnProgress = no_progress,
) -> Stream[SummaryText, Summary]:
    """Summarize a text as a stream of its parts; see `Toolbox.stream_summarize`."""
    from llmtool.tasks.summarize.workflow import SummaryProgress

    summarizer = prepare_summarizer(context, options)
    case = Case(variables={summarizer.text_input: text})

    def run() -> Generator[SummaryText | Summary, None, None]:
        stream = summarizer.stream(_engine(context, summarizer), [case])
        events: Generator[SummaryEvent | Summary, None, None] = raise_failures(stream)
        with closing(events):
            for event in events:
                if isinstance(event, SummaryProgress):
                    on_progress(event.n_done, event.n_words)
                else:
                    yield event

    return Stream(run(), Summary)


def _engine(context: TaskContext, summarizer: Summarizer) -> Engine | None:
    return context.engine if summarizer.uses_model else None


def prepare_summarizer(context: TaskContext, options: SummarizeOptions) -> Summarizer:
    """Check the options of a call and load its template, once for all its texts."""
    from llmtool.tasks.pipeline.reply_cache import ReplyCache
    from llmtool.tasks.summarize.length import parse_length
    from llmtool.tasks.summarize.prompts import SummaryPrompts
    from llmtool.tasks.summarize.summarizer import Summarizer
    from llmtool.tasks.summarize.workflow import SummaryPlan

    style, length = options.style, parse_length(options.length, options.style)
    check_range("chunk_tokens", options.chunk_tokens, _MIN_CHUNK)
    name = options.template or _TEMPLATES[style]
    prompts = None
    if options.strategy == "extract":
        template = context.library.load(name)
    else:
        task = prepare(context, generate_options(options, template=name))
        template = task.template
        prompts = SummaryPrompts(task=task, length=length, style=style, focus=options.focus)
    check_task(template, "sum")
    strategy = "write" if options.strategy == "auto" else options.strategy
    return Summarizer(
        template=template,
        plan=SummaryPlan(
            strategy=strategy,
            length=length,
            style=style,
            focus=options.focus,
            cite=options.cite,
            prompts=prompts,
            chunk_tokens=options.chunk_tokens,
        ),
        # No sentence of a text is short enough for a headline, so any model may write one.
        adapts=options.strategy == "auto" and style in ("paragraph", "bullets"),
        self_tests=context.self_tests,
        by_section=options.sections,
        reply_cache=ReplyCache(
            context.notes, context.cache_identity if prompts is not None else ""
        ),
        model=context.model.name if prompts is not None else "",
    )
