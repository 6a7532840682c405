"""`llmtool translate`: translate text and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.tasks.options import TranslateOptions

if TYPE_CHECKING:
    from llmtool.tasks.translate.translator import Translator

app = App()
_MAX_CHECKED = 100_000  # characters of a document that is parsed before a model is chosen


@app.add(
    "translate",
    epilog="""Examples:

\b
  llmtool translate "Good morning" --to French
  llmtool translate --to de < README.md > LIESMICH.md
  llmtool translate -f film.srt --to pt-BR --bilingual -o film.pt.srt
  llmtool translate -f report.docx --to es -o informe.docx
  llmtool translate -f messages.po --to ja --glossary terms.csv -o ja.po
  tail -f news.txt | llmtool translate --to English --each line""",
)
def translate(
    console: Console,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT|FILE|URL]", help="Text, file or page to translate; - is stdin."
        ),
    ] = None,
    *,
    to: Annotated[str, typer.Option("--to", metavar="LANG", help="Target language (German, de).")],
    options: TranslateOptions,
    glossary_file: Annotated[
        str | None,
        typer.Option(
            "--glossary", metavar="FILE.csv", help="Terms and their translations (two columns)."
        ),
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(
            "--update",
            metavar="OLD",
            help="Keep the text of an earlier translation.",
        ),
    ] = None,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Translate text or a document, preserving code, links and markup.

    Tags, placeholders, timings and keys are also preserved. A segment that the model cannot
    translate without breaking them stays in the source language and is reported on standard error.
    """
    import msgspec

    from llmtool.cli import batch as batches
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.translate import render
    from llmtool.cli.render import result as show
    from llmtool.documents.formats import detect
    from llmtool.errors import UsageError
    from llmtool.models.reference import STARTER
    from llmtool.sizes import format_cost, format_count
    from llmtool.tasks.pipeline.collect import raise_failures, reasoning_warnings
    from llmtool.tasks.pipeline.prepare import Case
    from llmtool.tasks.pipeline.records import RecordMapping
    from llmtool.tasks.translate.glossary import read_glossary
    from llmtool.tasks.translate.task import prepare_translator

    folders, settings = bootstrap.start(console, general, model)
    loaded = bootstrap.open_library(folders).load(options.template)
    glossary = () if glossary_file is None else read_glossary(glossary_file, to)
    if update is not None and batch.each is not None:
        raise UsageError("--update and --each cannot be combined; update one file per call")
    old = None if update is None else render.read_old(console, update)
    options = msgspec.structs.replace(options, template=loaded, glossary=glossary, update=old)
    source = input.resolve(console, settings, reads_pdf=False)
    is_document = batch.each is None and not output.json
    source = msgspec.structs.replace(source, is_rewritten=True, keeps_encoding=is_document)
    reads = bootstrap.input_files(loaded, glossary_file, text, *source.files)
    opened = name = package = format = None
    material = codec = ""
    if batch.each is not None:
        opened = batches.open_batch(
            console, batch, source, output, reads=reads, text=text, form="source"
        )
    else:
        batch.check_unused()
        output.check(console, reads=reads)
        name, material, package, codec = render.gather(console, text, source, format=options.format)
        if package is not None and not output.dry_run:
            render.check_package(console, material, to_file=output.path, as_json=output.json)
        with render.prefix_errors(name):
            format = detect(name, material) if options.format == "auto" else options.format
    given = frozenset(options.variables) | {"to", "source", "terms", "placeholders", "notes"}

    def map_records(translator: Translator) -> RecordMapping:
        return RecordMapping(template=translator.template, field=batch.field, given=given)

    def check_input(translator: Translator) -> None:
        if opened is not None:
            batches.check_files(opened, map_records(translator), translator.check)
        elif len(material) <= _MAX_CHECKED:
            with render.prefix_errors(name):
                translator.check(
                    Case(variables={translator.prompts.text_input: material}, name=name)
                )

    context, translator = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_translator(context, to, options),
        output.path,
        check=check_input,
        backend=None if opened is None else opened.backend,
    )
    if context.model.name == STARTER:
        console.note(
            "the starter model knows little of other languages; its translations are unreliable"
        )
    if opened is not None:
        seed = options.sampling.seed
        batches.run(console, context, translator, map_records(translator), opened, seed=seed)
        return
    case = Case(variables={translator.prompts.text_input: material}, name=name)
    with render.prefix_errors(name):
        if output.dry_run:
            show.prompt(console, context, translator.request(case), as_json=output.json)
            return
        result = render.write(
            console,
            raise_failures(translator.stream(context.engine, [case])),
            to_file=output.path,
            as_json=output.json,
            is_live=not (output.no_stream or options.strict),
            is_prose=format in ("txt", "md"),
            ends_line=name is None and text not in (None, "-"),
            package=package,
            codec=codec,
        )
    for warning in (
        *result.warnings,
        *reasoning_warnings(context.engine, options.thinking, options.sampling.think_tokens),
    ):
        console.note(warning)
    if update is not None:
        n_segments = format_count(result.n_segments, "segment")
        n_new = result.n_segments - result.n_kept
        console.note(f"{result.n_kept} of {n_segments} kept from {update}, {n_new} new or changed")
    if result.n_cached and result.n_segments > 1:
        n_segments = format_count(result.n_segments, "segment")
        console.note(f"{result.n_cached} of {n_segments} from the cache")
    if output.stats:
        rate = result.usage.completion_tokens / max(result.seconds, 1e-9)
        console.note(
            f"{format_count(result.n_segments, 'segment')} in {result.seconds:.1f} s, "
            f"{result.n_retried} retried; {result.usage.prompt_tokens} prompt tokens "
            f"({result.usage.cached_tokens} cached), {result.usage.completion_tokens} generated, "
            f"{rate:.0f} tok/s{format_cost(result.usage.cost)}"
        )
