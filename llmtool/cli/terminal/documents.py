"""Documents of any kind as text, from files and standard input."""

from __future__ import annotations

import os

from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.encoding import Errors, decode
from llmtool.errors import InputError, UsageError


def read_documents(
    console: Console, paths: list[str], *, no_stdin: bool, errors: Errors
) -> list[tuple[str, str]]:
    """Return the name and the text of each file, or of standard input if none is named.

    Raises:
        UsageError: there is nothing to read.
        InputError: a file does not exist, cannot be read, is empty, or is not text.
    """
    if not paths:
        if no_stdin or console.stdin_is_closed or console.stdin_is_terminal:
            raise UsageError("nothing to read: name files, or pipe a text in")
        paths = ["-"]
    elif "-" not in paths and not no_stdin:
        inputs.note_unread(console, "the files")
    if paths.count("-") > 1:
        raise UsageError("standard input is named twice (-)")
    if "-" in paths and no_stdin:
        raise UsageError("- and --no-stdin contradict each other")
    advice = " (a text goes in by a pipe)"  # it may have been typed in a file's place
    return [(path, read_document(console, path, errors=errors, advice=advice)) for path in paths]


def read_document(console: Console, path: str, *, errors: Errors, advice: str = "") -> str:
    """Return the text of one file; `-` is standard input.

    `advice` is added to the error for a missing file.

    Raises:
        InputError: as `read_documents` says.
    """
    from llmtool.documents.readable import read

    name = "standard input" if path == "-" else path
    if path != "-" and not os.path.lexists(path):
        raise InputError(f"{path}: no such file{advice}")
    content = inputs.read_bytes(console, path)
    try:
        found = read(None if path == "-" else path, content)
    except InputError as exc:
        raise InputError(f"{name}: {exc}") from exc
    text = decode(content, source=name, errors=errors) if found is None else found.text
    for note in () if found is None else found.notes:
        console.note(f"{name}: {note}")
    if "\0" in text[:4096]:
        raise InputError(f"{name}: is a binary file, and no text")
    if not text.strip():
        raise InputError(f"{name}: is empty")
    return text
