"""Read text from arguments, files and standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from llmtool.cli.terminal.console import STDIN, Console
from llmtool.cli.terminal.shared_stdin import is_shared
from llmtool.cli.terminal.sources import fetch, is_url
from llmtool.encoding import (
    MAX_BYTES,
    Errors,
    decode,
    decode_document,
    find_wide_codec,
    too_long,
)
from llmtool.errors import InputError, UsageError, os_error_reason
from llmtool.file_kinds import PACKAGES, PDF, find_binary_kind, not_text

_COPIED_BYTES = 1 << 20
IDLE_SECONDS = 3.0  # how long to wait for optional standard input
STDIN_TWICE = "standard input (-) is named twice; name it once"
STDIN_REFUSED = "- reads standard input, which --no-stdin forbids; use one of them"

# An address without https://, as browsers accept it.
_WEB_ADDRESS = re.compile(
    r"www\.[\w-]+\.\w+|localhost:\d+|"
    r"[\w-]+(\.[\w-]+)*\.(com|org|net|edu|gov|info|io|dev|cn|de|eu|fr|jp|uk)(:\d+)?(/|$)"
)

# How a source is read: "document" converts HTML, e-mail and PDF to text; "text" converts PDF, and
# HTML from a URL; "source" converts nothing.
Form = Literal["document", "text", "source"]


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """The files and URLs that a command reads, or standard input, and how it reads them."""

    files: list[str] = []
    no_stdin: bool = False
    encoding: str | None = None
    errors: Errors | None = "strict"  # None: strict, for a command without --errors
    offline: bool = False
    # The command writes the document again, as UTF-8 or, if it can, in its own Unicode encoding.
    is_rewritten: bool = False
    keeps_encoding: bool = False


def read_argument(text: str, *, errors: Errors | None = None, name: str = "the prompt") -> str:
    """Return an argument as text; if `errors` is None, its bytes must be UTF-8."""
    return decode(os.fsencode(text), source=name, errors=errors)


def read_file(
    console: Console, path: str, *, errors: Errors | None = None, encoding: str | None = None
) -> str:
    """Return the text of a file; `-` is standard input. If `errors` is None, it must be UTF-8."""
    source = "standard input" if path == "-" else path
    return decode(read_bytes(console, path), source=source, errors=errors, encoding=encoding)


def read_bytes(console: Console, path: str) -> bytes:
    """Return the content of a file; `-` is standard input."""
    source = "standard input" if path == "-" else path
    try:
        if path == "-":
            return _read_all(console, STDIN, source)
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise InputError(f"{path} is a directory; use a file")
        with console.interrupts.interruptible():  # a FIFO may have no writer
            file = open(path, "rb")
        with file:
            return _read_all(console, file.fileno(), path)
    except FileNotFoundError as exc:
        raise _missing(path) from exc
    except OSError as exc:
        raise InputError(f"cannot read {source}: {os_error_reason(exc)}") from exc


def _missing(path: str, remedy: str = "") -> InputError:
    """Return the error for a missing file; a pattern that the shell did not expand needs --glob."""
    folder, name = os.path.split(path)
    if is_url(path):
        from llmtool.batch.lines import missing_file

        return missing_file(path)
    if _WEB_ADDRESS.match(path):
        scheme = "http" if path.startswith("localhost") else "https"
        remedy = f"; to read a web page, use {scheme}://{path}"
    elif any(character in name for character in "*?[") and os.path.isdir(folder or "."):
        remedy = f"; to read the files that match, use -f {folder or '.'} --glob {name!r}"
    return InputError(f"{path}: no such file{remedy}")


class SourceText(NamedTuple):
    """A source and its text; `share` is the share of a web page's text that is used.

    `codec` writes a document in UTF-16 or UTF-32 that keeps its encoding; it is empty for others.
    """

    name: str
    content: bytes
    text: str
    share: float = 1.0
    codec: str = ""


def join_sources(sources: Sequence[SourceText]) -> SourceText:
    """Return several sources as one text, each below its name."""
    text = join([(each.name, each.text) for each in sources]) or ""
    total = sum(len(each.text) / max(each.share, 0.001) for each in sources)
    used = sum(len(each.text) for each in sources)
    return SourceText("all files", b"", text, used / total if total else 1.0)


def read_source(
    console: Console, name: str, input: Input, *, form: Form = "text", reads_pdf: bool = True
) -> str:
    """Return the text of a file or URL that the user named; `-` is standard input.

    A note reports parts that were skipped, such as attachments.
    """
    return read_record(console, name, input, form=form, reads_pdf=reads_pdf).text


def read_record(
    console: Console,
    name: str,
    input: Input,
    *,
    form: Form = "text",
    reads_pdf: bool = True,
    unpacks: bool = False,
) -> SourceText:
    """Return the content and text of a source, as `read_source` does.

    If `unpacks`, the text of a Word document or EPUB book is that of its members.
    """
    source = "standard input" if name == "-" else name
    page = fetch(console, name, offline=input.offline) if is_url(name) else None
    content = read_bytes(console, name) if page is None else page.content
    if name == "-" and form == "document" and not content.strip():
        raise InputError("standard input is empty; pipe text in, or name files")
    if unpacks and content.startswith(b"PK"):
        from llmtool.documents.readers.readable import read_package

        text = read_package(content, name=source, check=console.interrupts.check)
        if text is not None:
            return SourceText(name, content, text)
    elif input.is_rewritten and (kind := find_binary_kind(content)) in PACKAGES:
        raise InputError(f"{source} is {kind}; translate it without --each: -f {name} -o FILE")
    is_pdf = content.startswith(b"%PDF-") and reads_pdf
    if form == "source" or (page is None and form == "text" and not is_pdf):
        charset = page.charset if page else None
        text, codec = _decode(console, content, source, input, charset)
        return SourceText(name, content, text, codec=codec)
    if content.startswith(b"%PDF-") and not reads_pdf:
        raise InputError(f"{source} {not_text(PDF)}")
    from llmtool.documents.readers.readable import read_document

    media_type = None if page is None else page.media_type
    document = read_document(
        content,
        name=source,
        errors=input.errors or "strict",
        encoding=input.encoding,
        media_type=None if media_type == "application/octet-stream" else media_type or None,
        charset=None if page is None else page.charset,
        check=console.interrupts.check,
    )
    for note in document.notes:
        console.note(f"{source}: {note}")
    return SourceText(name, content, document.text, document.share)


def _decode(
    console: Console, content: bytes, source: str, input: Input, charset: str | None
) -> tuple[str, str]:
    """Return the text of a source and the codec to write it (`SourceText`); report its encoding.

    A document that is rewritten keeps a byte order mark, and declares that it is UTF-8.
    """
    from llmtool.documents.signatures import declare_utf8, declared_charset

    decoded = decode_document(
        content,
        charset or declared_charset(content),
        source=source,
        errors=input.errors,
        encoding=input.encoding,
    )
    if decoded.note:
        console.note(f"{source}: {decoded.note}")
    if not input.is_rewritten:
        return decoded.text, ""
    codec = find_wide_codec(content, decoded.encoding) if input.keeps_encoding else None
    text = declare_utf8(decoded.text)
    if decoded.encoding != "utf-8" and (codec is None or text != decoded.text):
        console.note(f"{source} is {decoded.encoding}; the output is UTF-8")
        return text, ""
    has_bom = decoded.has_bom or (codec is not None and content.startswith("\ufeff".encode(codec)))
    return "\ufeff" * has_bom + decoded.text, codec or ""


def read_documents(console: Console, input: Input) -> list[SourceText]:
    """Return each document, or standard input if none is named."""
    paths, no_stdin = input.files, input.no_stdin
    if not paths:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError("nothing to read; name files or pipe text in")
        paths = ["-"]
    elif "-" not in paths and not no_stdin:
        note_unread(console, "the files")
    if paths.count("-") > 1:
        raise UsageError(STDIN_TWICE)
    if "-" in paths and no_stdin:
        raise UsageError(STDIN_REFUSED)
    for path in paths:
        if path != "-" and not is_url(path) and not os.path.lexists(path):
            raise _missing(path, "; to summarize text, pipe it in")
    found = [read_record(console, path, input, form="document") for path in paths]
    for each in found:
        note_table(console, each.name, each.text)
    return found


def read_stdin(console: Console, *, errors: Errors = "strict", encoding: str | None = None) -> str:
    return read_file(console, "-", errors=errors, encoding=encoding)


def copy_stdin(console: Console, descriptor: int) -> None:
    """Copy standard input to an open file.

    Raises:
        OSError: it cannot be read or written.
    """
    with console.interrupts.interruptible():
        while data := os.read(STDIN, _COPIED_BYTES):
            while data:
                data = data[os.write(descriptor, data) :]


def read_optional_stdin(console: Console, input: Input) -> str | None:
    """Return standard input in addition to an argument, or None if there is none to read.

    It is not read if it is a terminal, closed or /dev/null; if it is shared with the calling
    shell, as in a `while read` loop, whose lines we would consume; or if nothing arrives within
    `IDLE_SECONDS`, as from a program that opened a pipe and never writes. A note on stderr reports
    the last two, and on a terminal empty input. `-` as an argument always reads.
    """
    mode = os.fstat(STDIN).st_mode
    if stat.S_ISCHR(mode):
        return None
    if is_shared(STDIN):
        console.note(
            "ignoring standard input, which the calling shell reads (- reads it, "
            "--no-stdin hides this note)"
        )
        return None
    if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and not console.wait_for_input(IDLE_SECONDS):
        console.note(
            f"no data on standard input after {IDLE_SECONDS:.0f} s; continuing without it "
            "(- waits for it, --no-stdin does not)"
        )
        return None
    text = read_source(console, "-", input)
    if not text and console.stderr_is_terminal:  # programs often leave it open and empty
        console.note("standard input is empty")
    return text or None


def note_table(console: Console, name: str, text: str, *, read_as: str = "one text") -> None:
    """Report that a text looks like a table, which is read as text."""
    from llmtool.batch.tables import find_header

    name = "standard input" if name == "-" else name
    if header := find_header(name, text):
        columns = ", ".join(cell.strip() or f"(column {i})" for i, cell in enumerate(header, 1))
        console.note(
            f"{name} looks like a table, but is read as {read_as}; --each csv --field NAME reads "
            f"its rows (columns: {columns})"
        )


def note_unread(console: Console, instead: str) -> None:
    """Report that standard input has data that is ignored, because `instead` is read.

    A terminal, empty or silent input, and the calling shell's own input are not reported.
    """
    if _has_data() and not is_shared(STDIN):
        console.note(f"ignoring standard input; reading {instead} instead")


def _has_data() -> bool:
    """Whether standard input has data now; does not read or wait."""
    found = os.fstat(STDIN)
    if stat.S_ISREG(found.st_mode):
        return found.st_size > os.lseek(STDIN, 0, os.SEEK_CUR)
    if not (stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)):
        return False
    try:
        import fcntl
        import termios

        count = fcntl.ioctl(STDIN, termios.FIONREAD, bytes(4))
    except (ImportError, OSError):
        return False
    return int.from_bytes(count, sys.byteorder) > 0


def join(files: list[tuple[str, str]]) -> str | None:
    """Join the texts of several sources, each below its name."""
    if not files:
        return None
    if len(files) == 1:
        return files[0][1]
    return "\n\n".join(f"==> {name} <==\n{text}" for name, text in files)


def has_to_wait(prompt: str | None, files: list[str], *, no_stdin: bool) -> bool:
    """Whether `gather` may block, waiting for another program or for typed text."""
    if not all(path == "-" or os.path.isfile(path) for path in files):
        return True
    mode = os.fstat(STDIN).st_mode
    if no_stdin or stat.S_ISREG(mode):
        return False
    is_required = "-" in (prompt, *files) or (prompt is None and not files)
    return is_required or not stat.S_ISCHR(mode)


def note_name(console: Console, text: str, *, what: str = "prompt") -> None:
    """Report that an argument is used as text, although it is or resembles a file name or a URL."""
    if is_url(text) and not any(map(str.isspace, text)):
        console.note(f"using the URL {text} as the {what}; -f {text} reads the page")
    elif os.path.isfile(text):
        console.note(f"using the file name {text} as the {what}; -f {text} reads the file")
    elif os.path.isdir(text):
        console.note(
            f"using the directory name {text} as the {what}; -f {text} --glob '*' reads its files"
        )
    elif text.startswith("www.") and _WEB_ADDRESS.fullmatch(text.partition("/")[0]):
        console.note(f"using {text} as the {what}; -f https://{text} reads the page")
    elif _resembles_file_name(text):
        console.note(f"using {text} as the {what}; no file has that name")


def _resembles_file_name(text: str) -> bool:
    """Whether a text is one word that is probably meant as the name of a file."""
    if any(map(str.isspace, text)) or "." not in text:
        return False
    from llmtool.documents.formats import has_known_suffix

    return has_known_suffix(text) or text.startswith(("./", "../", "~/"))


def check_files(paths: list[str]) -> None:
    """Check that arguments after a prompt name files.

    Raises:
        UsageError: none of them does.
        InputError: some do not.
    """
    missing = [
        path for path in paths if path != "-" and not is_url(path) and not os.path.lexists(path)
    ]
    if not missing:
        return
    error = UsageError if missing == paths else InputError
    # A word of a prompt without quotes is not repeated; it may be private.
    named = [path for path in missing if os.path.basename(path) != path or "." in path]
    if not named:
        raise error("too many arguments; put quotes around text of several words")
    if _WEB_ADDRESS.match(named[0]):
        raise _missing(named[0])
    raise error(
        f"{named[0]}: no such file; check the name, or put quotes around a prompt of several words"
    )


def gather(
    console: Console,
    prompt: str | None,
    input: Input,
    *,
    required: bool = True,
    may_be_empty: bool = False,
    what: str = "prompt",
    advice: str = "pass one as an argument, pipe it in, or use -f FILE",
) -> tuple[str | None, str | None]:
    """Return (prompt, input) for a command that accepts an instruction and input.

    Unless `required`, both may be None; standard input is then optional, as with an argument.
    If they are missing, or empty unless `may_be_empty`, the error names `what` and ends with
    `advice`.
    """
    files, no_stdin = input.files, input.no_stdin
    if [prompt, *files].count("-") > 1:
        raise UsageError(STDIN_TWICE)
    if (prompt == "-" or "-" in files) and no_stdin:
        raise UsageError(STDIN_REFUSED)
    if prompt is not None and prompt != "-":
        instruction = read_argument(prompt, errors=input.errors)
        sources = _read_sources(console, files, input)
        if not no_stdin and "-" not in files:
            piped = read_optional_stdin(console, input)
            if piped is not None:
                note_table(console, "-", piped)
                sources.append(("standard input", piped))
        note_name(console, prompt, what=what)
        if not instruction.strip() and not sources:
            raise InputError(f"the {what} is empty; {advice}")
        _note_empty(console, sources)
        return instruction, join(sources)
    if prompt is None and not files and not required:
        return None, None if no_stdin else read_optional_stdin(console, input)
    if prompt is None and not files:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError(f"no {what}; {advice}")
    if prompt is None and files and "-" not in files and not no_stdin:
        note_unread(console, "-f")
    names = ["-"] if prompt == "-" or not files else []
    sources = _read_sources(console, [*names, *files], input)
    if not may_be_empty:
        if not any(text.strip() for _, text in sources):
            raise InputError(f"no {what}: the input is empty; {advice}")
        _note_empty(console, sources)
    return None, join(sources)


def _note_empty(console: Console, sources: list[tuple[str, str]]) -> None:
    """Report sources without text."""
    for name, text in sources:
        if not text.strip():
            console.note(f"{'standard input' if name == '-' else name} is empty")


def _read_sources(console: Console, names: list[str], input: Input) -> list[tuple[str, str]]:
    """Return the name and text of each source.

    Raises:
        ContextOverflow: together they are longer than any context.
    """
    sources: list[tuple[str, str]] = []
    size = 0
    for name in names:
        text = read_source(console, name, input)
        note_table(console, name, text)
        sources.append((name, text))
        size += len(text)
        if size > MAX_BYTES:
            raise too_long("the input" if len(names) > 1 else name)
    return sources


def _read_all(console: Console, fd: int, source: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        with console.interrupts.interruptible():
            chunk = os.read(fd, 1 << 16)
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        if size > MAX_BYTES:
            raise too_long(source)
        chunks.append(chunk)
