"""What `sum` does with its options: one summary for each file, one of all, or a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator

from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console, Sink
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.options import SummarizeOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import Binding
from llmtool.tasks.results import Summary
from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText
from llmtool.tasks.summarize.task import SummarizeTask

_SHOW_SECONDS = 0.2
Event = SummaryText | SummaryProgress | Summary


def summarize(
    console: Console,
    files: list[str],
    *,
    length: str,
    style: str,
    focus: str | None,
    sections: bool,
    together: bool,
    strategy: str,
    chunk_tokens: int | None,
    template: str | None,
    param: list[str] | None,
    system: str | None,
    think: bool | None,
    source: g.SourceGroup,
    view: g.ShowGroup,
    batch: g.BatchGroup,
    sampling: g.SamplingGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print the summaries of files, or the rows of a batch.

    Raises:
        LlmtoolError: as summarizing says.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    if length.strip().isdigit():
        length = f"{length} {'bullets' if style == 'bullets' else 'words'}"
    loaded = None if template is None else bootstrap.open_library(folders).load(template)
    given_options = {
        **sampling.options(),
        "length": length,
        "style": style,
        "focus": focus if focus is None else inputs.read_argument(focus, name="--focus"),
        "sections": sections,
        "strategy": strategy,
        "chunk_tokens": chunk_tokens,
        "template": loaded,
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "variables": bootstrap.parse_params(param or []),
        "thinking": think,
    }
    options = make_options(SummarizeOptions, given_options)
    if together and sections:
        raise UsageError("--sections and --together contradict each other")
    SummarizeTask.check_summarize(options)  # before a model is looked for
    paths = [*files, *(source.file or [])]
    reads = bootstrap.input_files(loaded, *paths)
    texts: list[tuple[str, str]] = []
    reader = None
    if batch.each is not None:
        if together:
            raise UsageError("--together and --each contradict each other")
        reader = batches.open_reader(console, batch, source.reading(paths), view, reads=reads)
    else:
        batches.refuse(batch)
        check(view.output, reads=reads)
        texts = inputs.read_documents(
            console, paths, no_stdin=source.no_stdin, errors=source.errors.value
        )
        if together and len(texts) > 1:
            texts = [("all files", str(inputs.join(texts)))]
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    summarizer = box.prepare_summarize(options)
    if reader is not None:
        given = frozenset(options.variables) | {"length", "focus", "place"}
        binding = Binding(template=summarizer.template, field=batch.field, given=given)
        if view.dry_run:
            batches.preview(console, box, summarizer, binding, reader, view=view)
        else:
            seed = options.sampling.seed
            batches.run(
                console, box, summarizer, binding, reader, batch=batch, view=view, seed=seed
            )
        return
    cases = [
        Case(id=i, variables={summarizer.prompts.text_input: text})
        for i, (_, text) in enumerate(texts)
    ]
    if view.dry_run:
        show.prompt(console, box, summarizer.first_request(box.engine, cases[0]), as_json=view.json)
        return
    with open_sink(console, view.output) as sink:
        for number, ((name, _), case) in enumerate(zip(texts, cases, strict=True)):
            if len(texts) > 1 and not view.json:
                sink.write(f"{chr(10) if number else ''}==> {name} <==\n")
            result = _write(
                console,
                sink,
                box.stream_summary(summarizer, case),
                name=name if len(texts) > 1 else None,
                as_json=view.json,
                is_live=not view.no_stream,
            )
            for warning in result.warnings:
                console.note(f"{name}: {warning}" if len(texts) > 1 else warning)
            if view.stats:
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
    """Write a summary and return it; live, as its pieces come."""
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
        told = result.to_dict()
        sink.write_json(told if name is None else {"file": name, **told})
        return result
    if not is_live:
        sink.write(result.text)
    sink.end_line()
    return result


class _Progress:
    """How much of a long text has been read, as a passing status on a terminal."""

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
    n, kept = len(result.chunks), result.n_cached_notes
    how = f"{result.strategy} in {format_count(n, 'part')}"
    if result.n_rounds:
        how += f" and {format_count(result.n_rounds, 'round')} of notes"
    if kept:
        how += f" ({kept} kept from before)"
    usage, rate = result.usage, result.usage.completion_tokens / max(result.seconds, 1e-9)
    console.note(
        f"{how}; {usage.prompt_tokens} prompt tokens ({usage.cached_tokens} from the cache), "
        f"{usage.completion_tokens} written, {result.seconds:.1f} s, {rate:.0f} tok/s"
    )
    if result.fallback:
        console.note(f"sentences of the notes stand for the summary, which {result.fallback}")
