"""What `translate` does with its options: one document, written as it grows, or a batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.encoding import Errors
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.models.reference import STARTER
from llmtool.tasks.options import TranslateOptions
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.tasks.results import Translation
from llmtool.tasks.translate.document import TranslationText
from llmtool.tasks.translate.glossary import read_glossary
from llmtool.tasks.translate.task import prepare_translator
from llmtool.text.languages import find_language

_SHOW_SECONDS = 0.2


def translate(
    console: Console,
    text: str | None,
    to: str,
    options: TranslateOptions,
    *,
    glossary_file: str | None,
    input: g.InputOptions,
    output: g.StreamOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print a document's translation, or the rows of a batch.

    Raises:
        OutputValidationError: a passage stayed in its language, and `strict` is set.
        LlmtoolError: as translating says.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    loaded = bootstrap.open_library(folders).load(options.template)
    glossary = () if glossary_file is None else read_glossary(glossary_file, to)
    options = msgspec.structs.replace(options, template=loaded, glossary=glossary)
    reads = bootstrap.input_files(loaded, glossary_file, *input.files)
    reader = name = material = None
    if batch.each is not None:
        if text is not None:
            raise UsageError("a text and --each exclude each other: a batch brings its own texts")
        reader = batches.open_reader(console, batch, input, output, reads=reads)
    else:
        batch.check_unused()
        check(output.path, reads=reads)
        name, material = _gather(console, text, input)
    find_language(to)  # before a model is looked for
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    if context.model.name == STARTER:
        console.note("the starter model hardly knows languages: do not rely on its translations")
    translator = prepare_translator(context, to, options)
    if reader is not None:
        given = frozenset(options.variables) | {"to", "source", "terms", "placeholders"}
        mapping = RecordMapping(template=translator.template, field=batch.field, given=given)
        if output.dry_run:
            batches.preview(console, context, translator, mapping, reader, output=output)
        else:
            seed = options.sampling.seed
            batches.run(
                console, context, translator, mapping, reader, batch=batch, output=output, seed=seed
            )
        return
    case = Case(variables={translator.prompts.text_input: material}, name=name)
    with _named(name):
        if output.dry_run:
            show.prompt(console, context, translator.request(case), as_json=output.json)
            return
        result = write(
            console,
            raise_failures(translator.stream(context.engine, [case])),
            to_file=output.path,
            as_json=output.json,
            is_live=not (output.no_stream or options.strict),
            ends_line=text not in (None, "-"),
        )
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        rate = result.usage.completion_tokens / max(result.seconds, 1e-9)
        console.note(
            f"{result.n_segments} passages in {result.seconds:.1f} s, {result.n_retried} asked "
            f"again; {result.usage.prompt_tokens} prompt tokens ({result.usage.cached_tokens} from "
            f"the cache), {result.usage.completion_tokens} written, {rate:.0f} tok/s"
        )


def write(
    console: Console,
    events: Iterator[TranslationText | Translation],
    *,
    to_file: str | None,
    as_json: bool,
    is_live: bool,
    ends_line: bool,
) -> Translation:
    """Write a translation and return it; live, each passage as it is there.

    Raises:
        OutputValidationError: it is not what was asked for; JSON is written all the same.
    """
    is_live = is_live and not as_json
    with open_sink(console, to_file) as sink:
        progress = _Progress(console, is_shown=not (is_live and sink.is_terminal))
        result: Translation | None = None
        try:
            for event in events:
                if isinstance(event, Translation):
                    result = event
                    break
                progress(event.n_done, event.n_segments)
                if is_live:
                    sink.write(event.text)
        except OutputValidationError as exc:
            if as_json and isinstance(exc.result, Translation):
                sink.write_json(exc.result.to_dict())
                sink.close()
            raise
        finally:
            console.status("")
        assert result is not None
        if as_json:
            sink.write_json(result.to_dict())
            return result
        if not is_live:
            sink.write(result.text)
        if ends_line or sink.is_terminal:
            sink.end_line()
        return result


class _Progress:
    """How far a document is, on a terminal that nothing else is written to."""

    def __init__(self, console: Console, *, is_shown: bool) -> None:
        self._console = console
        self._is_shown = is_shown
        self._started = self._said = time.monotonic()

    def __call__(self, n_done: int, n_all: int) -> None:
        now = time.monotonic()
        if not self._is_shown or not n_done or now - self._said < _SHOW_SECONDS:
            return
        self._said = now
        left = int((now - self._started) * (n_all - n_done) / n_done)
        self._console.status(f"{n_done:,} of {n_all:,} passages, {left // 60}:{left % 60:02} left")


def _gather(console: Console, text: str | None, input: g.InputOptions) -> tuple[str | None, str]:
    """Return the name of the document's file, if it has one, and its text.

    Raises:
        UsageError: there is none, or more than one.
        InputError: it cannot be read, is empty, or no text.
    """
    files = input.files
    if len(files) > 1:
        raise UsageError("one document at a time; several are a batch: --each file -f A -f B")
    if text is not None and files:
        raise UsageError("a text and a file exclude each other: one document at a time")
    errors: Errors = input.errors
    if (text or files) and "-" not in (text, *files) and not input.no_stdin:
        inputs.note_unread(console, "-f" if files else "the text")
    if text is not None and text != "-":
        material = inputs.read_argument(text, errors=errors, name="the text")
        if os.path.isfile(text):
            console.note(f"the text names a file and is taken as it is; -f {text} reads it")
        if not material.strip():
            raise InputError("the text is empty")
        return None, material
    path = files[0] if files else "-"
    if path == "-" and input.no_stdin and (text or files):
        raise UsageError("- and --no-stdin contradict each other")
    is_asked = bool(text or files)
    if not is_asked and (input.no_stdin or console.stdin_is_closed or console.stdin_is_terminal):
        raise UsageError("no text: give one as an argument, in a file (-f) or on standard input")
    material = inputs.read_file(console, path, errors=errors)
    if not material.strip():
        raise InputError(f"{'standard input' if path == '-' else path}: is empty")
    return (None if path == "-" else path), material


@contextmanager
def _named(name: str | None) -> Iterator[None]:
    """Say of a file that is wrong which it is."""
    try:
        yield
    except InputError as exc:
        if name is None or str(exc).startswith(f"{name}: "):
            raise
        raise InputError(f"{name}: {exc}") from exc
