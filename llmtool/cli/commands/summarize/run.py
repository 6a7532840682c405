"""Run `sum`: one summary per file, one of all files, or a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console, Sink
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.options import SummarizeOptions
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.tasks.results import Summary
from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText
from llmtool.tasks.summarize.task import check_summarize, prepare_summarizer

_SHOW_SECONDS = 0.2
Event = SummaryText | SummaryProgress | Summary


def summarize(
    console: Console,
    files: list[str],
    options: SummarizeOptions,
    *,
    together: bool,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print the summaries of files, or the rows of a batch.

    Raises:
        UsageError: options cannot be combined.
        LlmtoolError: the input, the template or the model cannot be used.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    if options.template:
        loaded = bootstrap.open_library(folders).load(options.template)
        options = msgspec.structs.replace(options, template=loaded)
    if together and options.sections:
        raise UsageError("--sections and --together cannot be combined; use one of them")
    check_summarize(options)  # before a model is opened
    paths = [*files, *input.files]
    reads = bootstrap.input_files(options.template, *paths)
    texts: list[tuple[str, str]] = []
    reader = None
    if batch.each is not None:
        if together:
            raise UsageError("--together and --each cannot be combined; use one of them")
        input = msgspec.structs.replace(input, files=paths)
        reader = batches.open_reader(console, batch, input, output, reads=reads)
    else:
        batch.check_unused()
        check(output.path, reads=reads)
        texts = inputs.read_documents(console, paths, no_stdin=input.no_stdin, errors=input.errors)
        if together and len(texts) > 1:
            texts = [("all files", str(inputs.join(texts)))]
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    summarizer = prepare_summarizer(context, options)
    if reader is not None:
        given = frozenset(options.variables) | {"length", "focus", "headings"}
        mapping = RecordMapping(template=summarizer.template, field=batch.field, given=given)
        if output.dry_run:
            batches.preview(console, context, summarizer, mapping, reader, output=output)
        else:
            seed = options.sampling.seed
            batches.run(
                console, context, summarizer, mapping, reader, batch=batch, output=output, seed=seed
            )
        return
    cases = [
        Case(id=i, variables={summarizer.prompts.text_input: text})
        for i, (_, text) in enumerate(texts)
    ]
    if output.dry_run:
        request = summarizer.first_request(context.engine, cases[0])
        show.prompt(console, context, request, as_json=output.json)
        return
    with open_sink(console, output.path) as sink:
        for number, ((name, _), case) in enumerate(zip(texts, cases, strict=True)):
            if len(texts) > 1 and not output.json:
                sink.write(f"{chr(10) if number else ''}==> {name} <==\n")
            result = _write(
                console,
                sink,
                raise_failures(summarizer.stream(context.engine, [case])),
                name=name if len(texts) > 1 else None,
                as_json=output.json,
                is_live=not output.no_stream,
            )
            for warning in result.warnings:
                console.note(f"{name}: {warning}" if len(texts) > 1 else warning)
            if output.stats:
                _statistics(console, result)


def _write(
    console: Console,
    sink: Sink,
    events: Iterator[Event],
    *,
    name: str | None,
    as_json: bool,
    is_live: bool,
) -> Summary:
    """Write a summary and return it; if `is_live`, write it as it is generated."""
    progress = _Progress(console, name)
    is_live = is_live and not as_json
    result: Summary | None = None
    try:
        for event in events:
            if isinstance(event, SummaryProgress):
                progress(event.n_done, event.n_tokens)
            elif isinstance(event, Summary):
                result = event
            elif is_live:
                sink.write(event.text)
    finally:
        console.status("")
    assert result is not None
    if as_json:
        file = {} if name is None else {"file": name}
        sink.write_json({**file, **result.to_dict()})
        return result
    if not is_live:
        sink.write(result.text)
    sink.end_line()
    return result


class _Progress:
    """Shows the progress on a long text as a status line."""

    def __init__(self, console: Console, name: str | None) -> None:
        self._console = console
        self._name = f"{name}: " if name else ""
        self._started = self._shown = time.monotonic()

    def __call__(self, n_done: int, n_tokens: int) -> None:
        now = time.monotonic()
        if not n_done or n_done >= n_tokens or now - self._shown < _SHOW_SECONDS:
            return
        self._shown = now
        left = int((now - self._started) * (n_tokens - n_done) / n_done)
        self._console.status(
            f"{self._name}{n_done:,} of {n_tokens:,} tokens read, {left // 60}:{left % 60:02} left"
        )


def _statistics(console: Console, result: Summary) -> None:
    work = f"{result.strategy}: {format_count(len(result.chunks), 'chunk')}"
    if result.n_rounds:
        work += f", {format_count(result.n_rounds, 'round')} of notes"
    if result.n_cached_notes:
        work += f" ({result.n_cached_notes} cached)"
    usage, rate = result.usage, result.usage.completion_tokens / max(result.seconds, 1e-9)
    console.note(
        f"{work}; {usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached), "
        f"{usage.completion_tokens} generated, {result.seconds:.1f} s, {rate:.0f} tok/s"
    )
    if result.fallback:
        console.note(f"used sentences of the notes because the summary {result.fallback}")
