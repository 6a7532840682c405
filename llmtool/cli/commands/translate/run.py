"""Run `translate`: one document, printed while it is translated, or a batch."""

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
from llmtool.sizes import format_count
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
        OutputValidationError: a segment is not translated, and `strict` is set.
        LlmtoolError: the input, the template or the model cannot be used.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    loaded = bootstrap.open_library(folders).load(options.template)
    glossary = () if glossary_file is None else read_glossary(glossary_file, to)
    options = msgspec.structs.replace(options, template=loaded, glossary=glossary)
    reads = bootstrap.input_files(loaded, glossary_file, *input.files)
    reader = name = material = None
    if batch.each is not None:
        if text is not None:
            raise UsageError(
                "TEXT and --each cannot be combined; a batch reads its texts from input"
            )
        reader = batches.open_reader(console, batch, input, output, reads=reads)
    else:
        batch.check_unused()
        check(output.path, reads=reads)
        name, material = _gather(console, text, input)
    find_language(to)  # before a model is opened
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    if context.model.name == STARTER:
        console.note(
            "the starter model knows little of other languages; its translations are unreliable"
        )
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
    with _prefix_errors(name):
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
            f"{format_count(result.n_segments, 'segment')} in {result.seconds:.1f} s, "
            f"{result.n_retried} retried; {result.usage.prompt_tokens} prompt tokens "
            f"({result.usage.cached_tokens} cached), {result.usage.completion_tokens} generated, "
            f"{rate:.0f} tok/s"
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
    """Write a translation and return it; if `is_live`, write each segment as soon as it is ready.

    Raises:
        OutputValidationError: a segment is not translated; JSON is still written.
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
    """Shows the progress on a document as a status line."""

    def __init__(self, console: Console, *, is_shown: bool) -> None:
        self._console = console
        self._is_shown = is_shown
        self._started = self._updated = time.monotonic()

    def __call__(self, n_done: int, n_all: int) -> None:
        now = time.monotonic()
        if not self._is_shown or not n_done or now - self._updated < _SHOW_SECONDS:
            return
        self._updated = now
        left = int((now - self._started) * (n_all - n_done) / n_done)
        self._console.status(f"{n_done:,} of {n_all:,} segments, {left // 60}:{left % 60:02} left")


def _gather(console: Console, text: str | None, input: g.InputOptions) -> tuple[str | None, str]:
    """Return the document's file name, if it has one, and its text.

    Raises:
        UsageError: no document is given, or more than one.
        InputError: the document cannot be read, is empty, or is not text.
    """
    files = input.files
    if len(files) > 1:
        raise UsageError("more than one -f; translate several files with --each file")
    if text is not None and files:
        raise UsageError("TEXT and -f cannot be combined; use one of them")
    errors: Errors = input.errors
    if (text or files) and "-" not in (text, *files) and not input.no_stdin:
        inputs.note_unread(console, "-f" if files else "TEXT")
    if text is not None and text != "-":
        material = inputs.read_argument(text, errors=errors, name="TEXT")
        if os.path.isfile(text):
            console.note(f"translating the words {text!r}, not the file; use -f {text} to read it")
        if not material.strip():
            raise InputError("TEXT is empty")
        return None, material
    path = files[0] if files else "-"
    if path == "-" and input.no_stdin and (text or files):
        raise UsageError("- and --no-stdin cannot be combined; use one of them")
    no_stdin = input.no_stdin or console.stdin_is_closed or console.stdin_is_terminal
    if no_stdin and not (text or files):
        raise UsageError("no input; pass TEXT, use -f FILE or pipe text to standard input")
    material = inputs.read_file(console, path, errors=errors)
    if not material.strip():
        raise InputError(f"{'standard input' if path == '-' else path} is empty")
    return (None if path == "-" else path), material


@contextmanager
def _prefix_errors(name: str | None) -> Iterator[None]:
    """Add the file name to errors of the input."""
    try:
        yield
    except InputError as exc:
        if name is None or str(exc).startswith(f"{name}: "):
            raise
        raise InputError(f"{name}: {exc}") from exc
