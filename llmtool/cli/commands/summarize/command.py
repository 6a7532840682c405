"""`llmtool sum`: summarize files and standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import SummarizeOptions

if TYPE_CHECKING:
    from llmtool.tasks.summarize.summarizer import Summarizer

app = App()


@app.add(
    "sum",
    epilog="""Examples:

\b
  llmtool sum report.md
  llmtool sum --style bullets --length 5 --focus costs minutes.txt
  pandoc paper.docx -t markdown | llmtool sum --length "150 words"
  llmtool sum --sections manual.html -o short.md
  llmtool sum chapters/*.txt --together --length long
  llmtool sum --each csv --field review < in.csv > out.csv""",
)
def summarize(
    console: Console,
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|URL|DIR]...", help="Text, Markdown, HTML, PDF or e-mail; - is stdin."
        ),
    ] = None,
    *,
    options: SummarizeOptions,
    together: Annotated[
        bool, typer.Option("--together", help="Write one summary of all files.")
    ] = False,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Summarize files or standard input of any length.

    The sentences that cover the text best are chosen without the model. With --strategy extract
    they are the summary, and no model is needed; with write, the model writes from them, and with
    stuff from the whole text at once. Each sentence of the model is compared with the text before
    it is printed; one that fails is generated again, then replaced by a sentence of the text.

    A --length without a unit counts words, or bullets with --style bullets.
    """
    import msgspec

    from llmtool.cli import batch as batches
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.summarize import render
    from llmtool.cli.render import result as show
    from llmtool.cli.terminal import inputs
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.errors import UsageError
    from llmtool.tasks.pipeline.collect import raise_failures, reasoning_warnings
    from llmtool.tasks.pipeline.prepare import Case
    from llmtool.tasks.pipeline.records import RecordMapping
    from llmtool.tasks.summarize.task import prepare_summarizer

    folders, settings = bootstrap.start(console, general, model)
    if options.template:
        loaded = bootstrap.open_library(folders).load(options.template)
        options = msgspec.structs.replace(options, template=loaded)
    if together and options.sections:
        raise UsageError("--sections and --together cannot be combined; use one of them")
    source = input.resolve(console, settings, documents or [])
    reads = bootstrap.input_files(options.template, *source.files)
    texts: list[inputs.SourceText] = []
    opened = None
    if batch.each is not None:
        if together:
            raise UsageError("--together and --each cannot be combined; use one of them")
        opened = batches.open_batch(console, batch, source, output, reads=reads, form="document")
    else:
        batch.check_unused()
        output.check(console, reads=reads)
        texts = inputs.read_documents(console, source)
        if together and len(texts) > 1:
            texts = [inputs.join_sources(texts)]
    given = frozenset(options.variables) | {"length", "focus", "headings"}

    def map_records(summarizer: Summarizer) -> RecordMapping:
        return RecordMapping(template=summarizer.template, field=batch.field, given=given)

    def check_input(summarizer: Summarizer) -> None:
        if opened is not None:
            batches.check_files(opened, map_records(summarizer), summarizer.request)

    context, summarizer = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_summarizer(context, options),
        output.path,
        needs_model=options.strategy != "extract",
        check=check_input,
        warm_up=False,
        backend=None if opened is None else opened.backend,
    )
    if summarizer.uses_model:
        context.model.warm_up()
    if opened is not None:
        seed = options.sampling.seed
        batches.run(
            console,
            context,
            summarizer,
            map_records(summarizer),
            opened,
            seed=seed,
            needs_model=summarizer.uses_model,
        )
        return
    cases = [
        Case(id=i, variables={summarizer.text_input: each.text}) for i, each in enumerate(texts)
    ]
    if output.dry_run:
        request = summarizer.request(cases[0])
        show.prompt(console, context, request, as_json=output.json)
        return
    engine = context.engine if summarizer.uses_model else None
    with open_sink(console, output.path) as sink:
        for number, (source_text, case) in enumerate(zip(texts, cases, strict=True)):
            name = source_text.name
            if len(texts) > 1 and not output.json:
                sink.write(f"{chr(10) if number else ''}==> {name} <==\n")
            result = render.write(
                console,
                sink,
                raise_failures(summarizer.stream(engine, [case])),
                name=name if len(texts) > 1 else None,
                share=source_text.share,
                as_json=output.json,
                is_live=not output.no_stream,
            )
            for warning in result.warnings:
                console.note(f"{name}: {warning}" if len(texts) > 1 else warning)
            if output.stats:
                render.statistics(console, result)
    if engine is None:
        return
    for warning in reasoning_warnings(engine, options.thinking, options.sampling.think_tokens):
        console.note(warning)
