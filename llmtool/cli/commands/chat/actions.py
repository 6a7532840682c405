"""Run the editor, use the clipboard, read attachments and export sessions."""

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
from llmtool.errors import UsageError, os_error_reason
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
    """Open text in $VISUAL or $EDITOR and return the edited text, or None if the editor fails."""
    editor = _find_editor()
    with tempfile.TemporaryDirectory(prefix="llmtool-") as folder:
        path = Path(folder, "message.md")
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
        try:
            code = subprocess.call([*editor, str(path)])
        except OSError as exc:
            raise UsageError(f"cannot run editor {editor[0]}: {os_error_reason(exc)}") from exc
        finally:
            signals.reinstall(console.interrupts)
        if code != 0:
            console.note(f"editor {editor[0]} failed with exit code {code}")
            return None
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")


def _find_editor() -> list[str]:
    """Return the editor command: $VISUAL, $EDITOR, or an installed default."""
    variable = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    try:
        words = shlex.split(os.environ.get(variable, ""))
    except ValueError as exc:
        reason = str(exc).lower()  # "no closing quotation"
        raise UsageError(f"{variable} {os.environ[variable]!r}: {reason}; check it") from exc
    if words and os.path.dirname(words[0]):
        return words
    defaults = ("notepad",) if sys.platform == "win32" else ("nano", "vi")
    for name in words[:1] or defaults:
        if program := find_program(name):
            return [program, *words[1:]]
    if words:
        raise UsageError(f"editor {words[0]!r} not found on PATH; check {variable}")
    raise UsageError("no editor found; set EDITOR")


def read_attachment(console: Console, path: str, *, offline: bool) -> tuple[str, str]:
    """Return the path and text of a file or URL, converting HTML, e-mail and PDF to text."""
    path = os.path.expanduser(path.strip("'\""))
    source = inputs.Input(offline=offline)
    return path, inputs.read_source(console, path, source, form="document")


def copy_to_clipboard(console: Console, text: str) -> str:
    """Copy text with a program or an OSC 52 sequence, and return a message for the user."""
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
        raise UsageError("no clipboard found; install wl-copy or xclip, or use /export")
    console.stdout.copy(encoded)
    return f"copied {len(text)} characters through the terminal"


def last_code_block(text: str) -> str:
    """Return the last code block of a reply."""
    from llmtool.text.code_blocks import find_blocks

    blocks = find_blocks(text)
    if not blocks:
        raise UsageError("the last reply has no code block; use /copy for the whole reply")
    return blocks[-1].code


def export_session(session: Session, format: str, path: str) -> str:
    """Write a session to a file (default: NAME.FORMAT) and return a message for the user."""
    from llmtool.sessions import export as exporting

    target = Path(os.path.expanduser(path)) if path else Path(f"{session.name}.{format}")
    if target.exists():
        raise UsageError(f"{target} already exists; choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"folder {target.parent} not found")
    text = exporting.export(session, format)
    files.write_atomically(target, text.encode(), replace=False)
    return f"saved to {target}"
