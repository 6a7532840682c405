"""Ask for a model on the first run, if there is a terminal, and save the choice."""

from __future__ import annotations

import os
import textwrap

from llmtool import config
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.text import cell_width
from llmtool.errors import LlmtoolError
from llmtool.models.installed import find_starter
from llmtool.sizes import format_bytes

_MAX_SUGGESTIONS = 5
_MIN_REASON = 20  # columns


def ask(console: Console, settings: config.Settings) -> str | None:
    """List models that fit this machine and return the user's choice.

    Return None if there are fewer than two, or if the input ends.
    """
    from llmtool.models import catalogue
    from llmtool.models.reference import parse, portable

    rows = _suggestions(offline=settings.offline)
    if len(rows) < 2:
        return None
    console.say("llmtool: no model chosen yet; these fit this machine:\n\n")
    width = max(cell_width(name) for name, _ in rows)
    indent = width + 7
    for number, (name, reason) in enumerate(rows, 1):
        padding = " " * (width - cell_width(name))
        lines = textwrap.wrap(reason, max(_MIN_REASON, console.width - indent))
        wrapped = ("\n" + " " * indent).join(lines)
        console.say(f"  {number}  {name}{padding}  {wrapped}\n")
    console.say("\n")
    while True:
        console.say("Enter a number, org/name[:QUANT] or FILE.gguf [1]: ")
        line = console.read(4096)
        if not line:
            console.say("\n")
            return None
        answer = os.fsdecode(line).strip() or "1"
        if answer.isdecimal() and 1 <= int(answer) <= len(rows):
            return rows[int(answer) - 1][0]
        try:
            reference = parse(answer, {**settings.aliases, **catalogue.names()})
        except LlmtoolError as exc:
            console.error(str(exc))
            continue
        return portable(str(reference.path.absolute())) if reference.path is not None else answer


def save_choice(console: Console, folders: config.Folders, model: str) -> None:
    """Write the chosen model to config.toml."""
    config.set_value(
        folders.config_file,
        "model",
        model,
        cancelled=lambda: console.interrupts.received is not None,
    )
    console.note(f"saved in {folders.config_file}; change it with `llmtool config set model REF`")


def _suggestions(*, offline: bool) -> list[tuple[str, str]]:
    rows = []
    starter = find_starter()
    if starter is not None:
        size = format_bytes(starter.stat().st_size)
        rows.append(("starter", f"{size}, installed; small and weak, for trying things out"))
    if not offline:
        from llmtool.doctor import recommend_models

        rows += [(c.entry.name, c.reason.split(";")[0]) for c in recommend_models()]
    return rows[:_MAX_SUGGESTIONS]
