"""Input as text: arguments, files and standard input."""

from __future__ import annotations

import os
import stat
import sys

from llmtool.cli.terminal.console import STDIN, Console
from llmtool.cli.terminal.shared_stdin import is_shared
from llmtool.encoding import MAX_BYTES, Errors, decode, too_long
from llmtool.errors import InputError, UsageError

IDLE_SECONDS = 3.0


def read_argument(text: str, *, errors: Errors | None = None, name: str = "the prompt") -> str:
    """Return an argument as text; without `errors` its bytes must be UTF-8."""
    return decode(os.fsencode(text), source=name, errors=errors)


def read_file(console: Console, path: str, *, errors: Errors | None = None) -> str:
    """Return a file's text; `-` is standard input. Without `errors` it is strict.

    Raises:
        InputError: it cannot be read or is not UTF-8.
        ContextOverflow: it is larger than any context.
    """
    source = "standard input" if path == "-" else path
    return decode(read_bytes(console, path), source=source, errors=errors)


def read_bytes(console: Console, path: str) -> bytes:
    """Return the content of a file; `-` is standard input.

    Raises:
        InputError: it cannot be read.
        ContextOverflow: it is larger than any context.
    """
    source = "standard input" if path == "-" else path
    try:
        if path == "-":
            return _read_all(console, STDIN, source)
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise InputError(f"{path}: is a directory")
        with open(path, "rb") as file:
            return _read_all(console, file.fileno(), path)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        where = source if path == "-" else f"{path}:"
        raise InputError(f"{where} cannot be read: {exc.strerror}") from exc


def read_documents(
    console: Console, paths: list[str], *, no_stdin: bool, errors: Errors
) -> list[tuple[str, str]]:
    """Return the name and the text of each document, or of standard input if none is named.

    Raises:
        UsageError: there is nothing to read.
        InputError: a file does not exist, cannot be read, is empty, or is not text.
    """
    if not paths:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError("nothing to read: name files, or pipe a text in")
        paths = ["-"]
    elif "-" not in paths and not no_stdin:
        note_unread(console, "the files")
    if paths.count("-") > 1:
        raise UsageError("standard input is named twice (-)")
    if "-" in paths and no_stdin:
        raise UsageError("- and --no-stdin contradict each other")
    for path in paths:
        if path != "-" and not os.path.lexists(path):  # perhaps a text in a file's place
            raise InputError(f"{path}: no such file (a text goes in by a pipe)")
    return [(path, read_document(console, path, errors=errors)) for path in paths]


def read_document(console: Console, path: str, *, errors: Errors) -> str:
    """Return the text of one document, whatever its format; `-` is standard input.

    Raises:
        InputError: as `read_documents` says.
    """
    from llmtool.documents.readable import read_document as read

    name = "standard input" if path == "-" else path
    document = read(read_bytes(console, path), name=name, errors=errors)
    for note in document.notes:
        console.note(f"{name}: {note}")
    return document.text


def read_stdin(console: Console, *, errors: Errors = "strict") -> str:
    return read_file(console, "-", errors=errors)


def read_optional_stdin(console: Console, *, errors: Errors = "strict") -> str | None:
    """Return standard input if it is meant as input beside an argument, else None.

    It is not read when it is a terminal, closed or /dev/null; when it is shared with the calling
    shell, as in a `while read` loop, whose lines it would consume; or when nothing arrives within
    `IDLE_SECONDS`, as from a program that started us with a pipe and never writes. The last two
    are reported on stderr. `-` as an argument always reads.
    """
    mode = os.fstat(STDIN).st_mode
    if stat.S_ISCHR(mode):
        return None
    if is_shared(STDIN):
        console.note(
            "standard input belongs to the calling shell and is not read (- reads it, "
            "--no-stdin silences this)"
        )
        return None
    if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and not console.wait_for_input(IDLE_SECONDS):
        console.note(
            f"nothing came on standard input for {IDLE_SECONDS:.0f} s; going on without it "
            "(- waits for it, --no-stdin does not look)"
        )
        return None
    return read_stdin(console, errors=errors) or None


def note_unread(console: Console, beside: str) -> None:
    """Report that waiting standard input is not read, because `beside` is read instead.

    A terminal, empty or silent input, and the calling shell's own input are not reported.
    """
    if _is_waiting() and not is_shared(STDIN):
        console.note(f"standard input is not read beside {beside}")


def _is_waiting() -> bool:
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
    """Join the texts of several sources, each under its name if there are several."""
    if not files:
        return None
    if len(files) == 1:
        return files[0][1]
    return "\n\n".join(f"==> {name} <==\n{text}" for name, text in files)


def has_to_wait(prompt: str | None, files: list[str], *, no_stdin: bool) -> bool:
    """Whether `gather` may wait for another program, or for text typed at a terminal."""
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
    required: bool = True,
) -> tuple[str | None, str | None]:
    """Return (prompt, input) for a command that takes an instruction and material.

    Unless one is `required`, both may be None; standard input is then treated like that of a
    command with an argument.

    Raises:
        UsageError: there is neither, and standard input is a terminal or refused.
        InputError, ContextOverflow: the input cannot be used.
    """
    if [prompt, *files].count("-") > 1:
        raise UsageError("standard input is named twice (-)")
    if (prompt == "-" or "-" in files) and no_stdin:
        raise UsageError("- and --no-stdin contradict each other")
    if prompt is not None and prompt != "-":
        instruction = read_argument(prompt, errors=errors)
        sources = [(path, read_file(console, path, errors=errors)) for path in files]
        if not no_stdin and "-" not in files:
            piped = read_optional_stdin(console, errors=errors)
            if piped is not None:
                sources.append(("standard input", piped))
        if os.path.isfile(prompt):
            console.note(f"the prompt names a file and is taken as text; -f {prompt} reads it")
        if not instruction.strip() and not sources:
            raise InputError("the prompt is empty")
        return instruction, join(sources)
    if prompt is None and not files and not required:
        return None, None if no_stdin else read_optional_stdin(console, errors=errors)
    if prompt is None and not files:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError(
                "no prompt: give one as an argument, in a file (-f) or on standard input"
            )
    if prompt is None and files and "-" not in files and not no_stdin:
        note_unread(console, "-f")
    names = ["-"] if prompt == "-" else []
    if not names and not files:
        names = ["-"]
    text = join([(path, read_file(console, path, errors=errors)) for path in [*names, *files]])
    if not (text or "").strip():
        raise InputError("the input is empty")
    return None, text


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
