"""Read a document, and write its translation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Form, Input
from llmtool.cli.terminal.output_file import open_sink
from llmtool.cli.terminal.progress import WorkProgress
from llmtool.documents.packages import pack, package_format
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.tasks.results import Translation
from llmtool.tasks.translate.document import TranslationText


def write(
    console: Console,
    events: Iterator[TranslationText | Translation],
    *,
    to_file: str | None,
    as_json: bool,
    is_live: bool,
    is_prose: bool,
    ends_line: bool,
    package: bytes | None = None,
    codec: str = "",
) -> Translation:
    """Write a translation and return it; if `is_live`, write each segment as soon as it is ready.

    A terminal shows prose wrapped at words; others get the bytes of the codec, UTF-8 if it is
    empty. The translation of a `package` is written into a copy.

    Raises:
        OutputValidationError: a segment is not translated; JSON is still written.
    """
    is_live = is_live and not as_json and package is None
    with open_sink(console, to_file) as sink:
        progress = WorkProgress("segments")
        show = sink.write_words if is_prose else sink.write
        if codec and not sink.is_terminal:

            def show(text: str) -> None:
                sink.write_bytes(text.encode(codec))

        result: Translation | None = None
        try:
            with console.live_status(progress):
                for event in events:
                    if isinstance(event, Translation):
                        result = event
                        break
                    if not (is_live and sink.is_terminal):
                        progress.update(event.n_done, event.n_segments)
                    if is_live:
                        show(event.text)
        except OutputValidationError as exc:
            if as_json and isinstance(exc.result, Translation):
                sink.write_json(exc.result.to_dict())
                sink.close()
            raise
        assert result is not None
        if as_json:
            sink.write_json(result.to_dict())
            return result
        if package is not None:
            sink.write_bytes(pack(package, result.text))
            return result
        if not is_live:
            show(result.text)
        if ends_line or sink.is_terminal:
            sink.end_line()
        return result


def gather(
    console: Console, text: str | None, input: Input, *, format: str | None
) -> tuple[str | None, str, bytes | None, str]:
    """Return a document's name, its text, its content if it is a package, and its codec.

    The codec is that of `SourceText`.

    A text that is the name of a file or a URL is read. A web page is read as text, unless `format`
    is "html".
    """
    files = input.files
    if text is not None and text != "-" and not files:
        is_page = re.fullmatch(r"(?i)https?://\S+", text) is not None
        if is_page or os.path.isfile(text):
            console.note(f"translating the {'page' if is_page else 'file'} {text}")
            files = [text]
            text = None
    if len(files) > 1:
        raise UsageError("more than one -f; translate several files with --each file")
    if text is not None and files:
        raise UsageError("TEXT and -f cannot be combined; use one of them")
    if (text or files) and "-" not in (text, *files) and not input.no_stdin:
        inputs.note_unread(console, "-f" if files else "TEXT")
    if text is not None and text != "-":
        inputs.note_name(console, text, what="text")
        material = inputs.read_argument(text, errors=input.errors, name="TEXT")
        if not material.strip():
            raise InputError("TEXT is empty")
        return None, material, None, ""
    path = files[0] if files else "-"
    if path == "-" and input.no_stdin and (text or files):
        raise UsageError("- and --no-stdin cannot be combined; use one of them")
    no_stdin = input.no_stdin or console.stdin_is_closed or console.stdin_is_terminal
    if no_stdin and not (text or files):
        raise UsageError("no input; pass TEXT, use -f FILE or pipe text to standard input")
    form: Form = "source" if format == "html" else "text"
    found = inputs.read_record(console, path, input, form=form, reads_pdf=False, unpacks=True)
    content, material = found.content, found.text
    if not material.strip():
        raise InputError(f"{'standard input' if path == '-' else path} is empty")
    name = None if path == "-" else path
    if package_format(material) is not None:
        return name, material, content, ""
    if not path.lower().endswith((".csv", ".tsv")):  # an error, unless --format is given
        inputs.note_table(console, path, material)
    return name, material, None, found.codec


def read_old(console: Console, path: str) -> str:
    """Return the text of an earlier translation."""
    if path == "-":
        raise UsageError("--update -: must be the name of a file")
    return inputs.read_record(console, path, Input(), form="source", unpacks=True).text


def check_package(console: Console, material: str, *, to_file: str | None, as_json: bool) -> None:
    """Check that a Word document or EPUB book is not written to a terminal or as JSON.

    Raises:
        UsageError: it is.
    """
    format = package_format(material)
    if as_json:
        raise UsageError(
            f"--json cannot contain a .{format} file; omit it, and use -o OUT.{format}"
        )
    if to_file is None and console.stdout.is_terminal:
        raise UsageError(f"the output is a .{format} file, not text; add -o OUT.{format}")


@contextmanager
def prefix_errors(name: str | None) -> Iterator[None]:
    """Add the file name to errors of the input."""
    try:
        yield
    except InputError as exc:
        if name is None or str(exc).startswith(f"{name}: "):
            raise
        raise InputError(f"{name}: {exc}") from exc
