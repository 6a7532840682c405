"""Read text from arguments, files and standard input."""

from __future__ import annotations

import os
import stat
import sys

from llmtool.cli.terminal.console import STDIN, Console
from llmtool.cli.terminal.shared_stdin import is_shared
from llmtool.encoding import MAX_BYTES, Errors, decode, too_long
from llmtool.errors import InputError, UsageError, os_error_reason

IDLE_SECONDS = 3.0  # how long to wait for optional standard input
STDIN_TWICE = "standard input (-) is named twice; name it once"
STDIN_REFUSED = "- reads standard input, which --no-stdin forbids; use one of them"


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
            raise InputError(f"{path} is a directory; name a file")
        with open(path, "rb") as file:
            return _read_all(console, file.fileno(), path)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        raise InputError(f"cannot read {source}: {os_error_reason(exc)}") from exc


def read_documents(
    console: Console,
    paths: list[str],
    *,
    no_stdin: bool,
    errors: Errors,
    encoding: str | None,
) -> list[tuple[str, str]]:
    """Return the name and text of each document, or of standard input if `paths` is empty."""
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
        if path != "-" and not os.path.lexists(path):
            raise InputError(f"{path}: no such file; to summarize text, pipe it in")
    texts = [
        (path, read_document(console, path, errors=errors, encoding=encoding)) for path in paths
    ]
    for path, text in texts:
        note_table(console, path, text)
    return texts


def read_document(
    console: Console, path: str, *, errors: Errors, encoding: str | None = None
) -> str:
    """Return the text of one document of any supported format; `-` is standard input."""
    from llmtool.documents.readable import read_document as read

    name = "standard input" if path == "-" else path
    content = read_bytes(console, path)
    if path == "-" and not content.strip():
        raise InputError("standard input is empty; pipe text in, or name files")
    document = read(content, name=name, errors=errors, encoding=encoding)
    for note in document.notes:
        console.note(f"{name}: {note}")
    return document.text


def read_stdin(console: Console, *, errors: Errors = "strict", encoding: str | None = None) -> str:
    return read_file(console, "-", errors=errors, encoding=encoding)


def read_optional_stdin(
    console: Console, *, errors: Errors = "strict", encoding: str | None = None
) -> str | None:
    """Return standard input in addition to an argument, or None if there is none to read.

    It is not read if it is a terminal, closed or /dev/null; if it is shared with the calling
    shell, as in a `while read` loop, whose lines we would consume; or if nothing arrives within
    `IDLE_SECONDS`, as from a program that opened a pipe and never writes. A note on stderr reports
    the last two. `-` as an argument always reads.
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
    return read_stdin(console, errors=errors, encoding=encoding) or None


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


def gather(
    console: Console,
    prompt: str | None,
    files: list[str],
    *,
    no_stdin: bool,
    errors: Errors,
    encoding: str | None = None,
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
    if [prompt, *files].count("-") > 1:
        raise UsageError(STDIN_TWICE)
    if (prompt == "-" or "-" in files) and no_stdin:
        raise UsageError(STDIN_REFUSED)
    if prompt is not None and prompt != "-":
        instruction = read_argument(prompt, errors=errors)
        sources = [
            (path, _read_source(console, path, errors=errors, encoding=encoding)) for path in files
        ]
        if not no_stdin and "-" not in files:
            piped = read_optional_stdin(console, errors=errors, encoding=encoding)
            if piped is not None:
                note_table(console, "-", piped)
                sources.append(("standard input", piped))
        if os.path.isfile(prompt):
            console.note(f"using the file name {prompt} as the prompt; -f {prompt} reads the file")
        if not instruction.strip() and not sources:
            raise InputError(f"the prompt is empty; {advice}")
        return instruction, join(sources)
    if prompt is None and not files and not required:
        return None, None if no_stdin else read_optional_stdin(
            console, errors=errors, encoding=encoding
        )
    if prompt is None and not files:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError(f"no {what}; {advice}")
    if prompt is None and files and "-" not in files and not no_stdin:
        note_unread(console, "-f")
    names = ["-"] if prompt == "-" else []
    if not names and not files:
        names = ["-"]
    text = join(
        [
            (path, _read_source(console, path, errors=errors, encoding=encoding))
            for path in [*names, *files]
        ]
    )
    if not may_be_empty and not (text or "").strip():
        raise InputError(f"no {what}: the input is empty; {advice}")
    return None, text


def _read_source(console: Console, path: str, *, errors: Errors, encoding: str | None) -> str:
    text = read_file(console, path, errors=errors, encoding=encoding)
    note_table(console, path, text)
    return text


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
