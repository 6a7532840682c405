"""The first question: which model? Asked once, on a terminal, and remembered."""

from __future__ import annotations

import os

from llmtool import config
from llmtool.cli import output, signals
from llmtool.models.found import find_starter
from llmtool.sizes import format_bytes

_MOST_SUGGESTIONS = 5


def can_ask() -> bool:
    """Whether a person is there to answer."""
    return (
        not output.is_quiet()
        and output.is_terminal(output.STDIN)
        and output.is_terminal(output.STDERR)
    )


def ask(folders: config.Folders, settings: config.Settings) -> str | None:
    """Show what fits this machine, return what was chosen and write it to config.toml.

    Returns None, and asks again next time, when there is nothing to choose from or no answer.
    """
    rows = _suggestions(offline=settings.offline)
    if len(rows) < 2:
        return None
    output.say("llmtool: no model is chosen yet. These fit this machine:\n\n")
    width = max(len(name) for name, _ in rows)
    for number, (name, why) in enumerate(rows, 1):
        output.say(f"  {number}  {name:{width}}  {why}\n")
    output.say("\nWhich one? A number, or any org/name[:QUANT] or FILE.gguf [1]: ")
    with signals.interruptible():
        line = os.read(output.STDIN, 4096)
    if not line:
        output.say("\n")
        return None
    answer = line.decode("utf-8", "replace").strip() or "1"
    number = int(answer) if answer.isdecimal() else 0
    chosen = rows[number - 1][0] if 1 <= number <= len(rows) else answer
    config.set_value(folders.config_file, "model", chosen)
    output.note(f"remembered in {folders.config_file}; `llmtool config set model REF` changes it")
    return chosen


def _suggestions(*, offline: bool) -> list[tuple[str, str]]:
    rows = []
    starter = find_starter()
    if starter is not None:
        size = format_bytes(starter.stat().st_size)
        rows.append(("starter", f"{size}, here already; small and weak, to try things out"))
    if not offline:
        from llmtool.cli.models_show import recommended

        rows += [(choice.entry.name, choice.reason) for choice in recommended()]
    return rows[:_MOST_SUGGESTIONS]
