"""What a conversation does outside itself: an editor, a clipboard, files."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from llmtool import files
from llmtool.cli.terminal import inputs, signals
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.sessions.types import Session
from llmtool.tasks.code.executables import find_program

_CLIPBOARDS = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "-ib"),
    ("clip.exe",),
)
_MAX_OSC_BYTES = 74_994  # what xterm takes of an OSC 52


def parse_turn(text: str, *, n_turns: int) -> tuple[int, str]:
    """Return (number, "message" or "reply") of `/edit`'s argument; nothing is the last message."""
    number, what = n_turns, "message"
    for word in text.split():
        if word.isdecimal():
            number = int(word)
        elif word in ("reply", "message"):
            what = word
        else:
            raise UsageError("write it as /edit [N] [reply]")
    return number, what


def edit(console: Console, text: str) -> str | None:
    """Let the user change a text in $VISUAL or $EDITOR; None where the editor fails.

    Raises:
        UsageError: there is no editor, or its variable cannot be read as words.
    """
    editor = _find_editor()
    with tempfile.TemporaryDirectory(prefix="llmtool-") as folder:
        path = Path(folder, "message.md")
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
        try:
            code = subprocess.call([*editor, str(path)])
        except OSError as exc:
            raise UsageError(f"{editor[0]}: cannot be run: {exc.strerror}") from exc
        finally:
            signals.reinstall(console.interrupts)
        if code != 0:
            console.note(f"{editor[0]} ended with {code}")
            return None
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")


def _find_editor() -> list[str]:
    """Return the words that run the editor: $VISUAL, $EDITOR, or one that is here."""
    variable = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    try:
        words = shlex.split(os.environ.get(variable, ""))
    except ValueError as exc:
        raise UsageError(f"{variable}: cannot be read as words: {exc}") from exc
    if words and os.path.dirname(words[0]):
        return words
    defaults = ("notepad",) if sys.platform == "win32" else ("nano", "vi")
    for name in words[:1] or defaults:
        if program := find_program(name):
            return [program, *words[1:]]
    if words:
        raise UsageError(f"{words[0]}: cannot be run: there is no such program on PATH")
    raise UsageError("set EDITOR to the editor that you like")


def read_document(console: Console, path: str) -> tuple[str, str]:
    """Return a file's name and its text: HTML, e-mail and PDF as what a reader sees.

    Raises:
        InputError: it cannot be read, is empty, or is no text.
    """
    path = os.path.expanduser(path.strip("'\""))
    return path, inputs.read_document(console, path, errors="strict")


def copy(console: Console, text: str) -> str:
    """Put text on the clipboard and say how; over ssh and in tmux the terminal is asked to."""
    for name, *options in _CLIPBOARDS:
        if program := find_program(name):
            try:
                subprocess.run(
                    [program, *options],
                    input=text.encode(),
                    check=True,
                    timeout=5,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                return f"copied {len(text)} characters"
            except (OSError, subprocess.SubprocessError):
                continue
    encoded = base64.b64encode(text.encode()).decode()
    if not console.stdout.is_terminal or len(encoded) > _MAX_OSC_BYTES:
        raise UsageError("no clipboard: install wl-copy or xclip, or use /export")
    console.stdout.write_raw(f"\x1b]52;c;{encoded}\x07")
    return f"handed {len(text)} characters to the terminal's clipboard"


def last_code(text: str) -> str:
    """Return the last code block of a reply.

    Raises:
        UsageError: there is none.
    """
    from llmtool.text.code_blocks import find_blocks

    blocks = find_blocks(text)
    if not blocks:
        raise UsageError("there is no code block in the last reply")
    return blocks[-1].code


def export(session: Session, kind: str, path: str) -> str:
    """Write a session to a file, named after it if no name is given; say where it is.

    Raises:
        UsageError: the file is there already.
        OutputError: it cannot be written.
    """
    from llmtool.sessions import export as exporting

    target = Path(os.path.expanduser(path)) if path else Path(f"{session.name}.{kind}")
    if target.exists():
        raise UsageError(f"{target} is there already: give another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder")
    text = exporting.export(session, kind)
    files.write_atomically(target, text.encode())
    return f"written to {target}"
