"""How likely tokens look: coloured or bracketed on a terminal, rows in a pipe."""

from __future__ import annotations

import math

from llmtool.cli.terminal.console import Console, Sink
from llmtool.engine.types import TokenLogprob

# Below which probability a token is marked: with which style, or between which brackets.
_LEVELS = ((0.05, "4;31", "«", "»"), (0.25, "33", "‹", "›"))
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write(console: Console, sink: Sink, text: str, logprob: float) -> None:
    """Write a piece of a reply to a terminal, marked if the model held it for unlikely.

    The white space around a word stays unmarked.
    """
    core = text.strip()
    level = next((level for level in _LEVELS if math.exp(logprob) < level[0]), None)
    if level is None or not core:
        sink.write(text)
        return
    _, style, before, after = level
    at = text.index(core)
    sink.write(text[:at])
    if console.stdout_color:
        sink.write(core, style=style)
    else:
        sink.write(before + core + after)
    sink.write(text[at + len(core) :])


def legend(console: Console) -> str:
    """Return what the marks mean, and what they do not."""
    if console.stdout_color:
        marks = ["underlined red under {:.0%}", "yellow under {:.0%}"]
    else:
        marks = [f"{before}under {{:.0%}}{after}" for _, _, before, after in _LEVELS]
    unlikely = ", ".join(mark.format(level[0]) for mark, level in zip(marks, _LEVELS, strict=True))
    return f"unlikely words: {unlikely}; this shows fluency, not truth"


def row(token: TokenLogprob) -> str:
    """Return a line for a pipe: token, log-probability, then the same of each alternative."""
    cells = [
        cell
        for each in (token, *token.top)
        for cell in (each.token.translate(_TABLE), f"{each.logprob:.4f}")
    ]
    return "\t".join(cells) + "\n"


_TABLE = str.maketrans(_ESCAPED)
