"""Programs and files that a chat uses: the editor, the clipboard, attachments, exports."""

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
from llmtool.machine import find_program
from llmtool.sessions.types import Session

_CLIPBOARDS = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "-ib"),
    ("clip.exe",),
)
_MAX_OSC_BYTES = 74_994  # xterm's limit for OSC 52


def edit_text(console: Console, text: str) -> str | None:
    """Open a text in $VISUAL or $EDITOR and return it as edited; None if the editor fails.

    Raises:
        UsageError: no editor was found, or the variable has an open quote.
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
    """Return the command of the editor: $VISUAL, $EDITOR, or a default that is installed."""
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


def read_attachment(console: Console, path: str) -> tuple[str, str]:
    """Return the path and the text of a file; HTML, e-mail and PDF are converted to text.

    Raises:
        InputError: the file cannot be read, is empty, or is not text.
    """
    path = os.path.expanduser(path.strip("'\""))
    return path, inputs.read_document(console, path, errors="strict")


def copy_to_clipboard(console: Console, text: str) -> str:
    """Copy text with a clipboard program or an OSC 52 sequence, and return a message for the user.

    Raises:
        UsageError: neither is available.
    """
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


def last_code_block(text: str) -> str:
    """Return the last code block of a reply.

    Raises:
        UsageError: the reply has none.
    """
    from llmtool.text.code_blocks import find_blocks

    blocks = find_blocks(text)
    if not blocks:
        raise UsageError("there is no code block in the last reply")
    return blocks[-1].code


def export_session(session: Session, format: str, path: str) -> str:
    """Write a session to a file, by default named after it, and return a message for the user.

    Raises:
        UsageError: the file exists, or its folder does not.
        OutputError: it cannot be written.
    """
    from llmtool.sessions import export as exporting

    target = Path(os.path.expanduser(path)) if path else Path(f"{session.name}.{format}")
    if target.exists():
        raise UsageError(f"{target} is there already: give another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder")
    text = exporting.export(session, format)
    files.write_atomically(target, text.encode())
    return f"written to {target}"
