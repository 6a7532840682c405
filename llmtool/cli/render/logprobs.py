"""Write tokens with their probabilities: coloured or bracketed on a terminal, rows in a pipe."""

from __future__ import annotations

import math

from llmtool.cli.terminal.console import Console, Sink
from llmtool.engine.types import TokenLogprob

# (probability below which a token is highlighted, style, brackets without colour)
_LEVELS = ((0.05, "4;31", "«", "»"), (0.25, "33", "‹", "›"))
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write(console: Console, sink: Sink, text: str, logprob: float) -> None:
    """Write a part of a reply to a terminal, highlighted if its probability is low.

    Surrounding white space is not highlighted.
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
    """Return an explanation of the highlighting."""
    if console.stdout_color:
        forms = ["underlined red below {:.0%}", "yellow below {:.0%}"]
    else:
        forms = [f"{before}below {{:.0%}}{after}" for _, _, before, after in _LEVELS]
    levels = ", ".join(form.format(level[0]) for form, level in zip(forms, _LEVELS, strict=True))
    return f"token probability: {levels}; this measures fluency, not truth"


def row(token: TokenLogprob) -> str:
    """Return a tab-separated row: token and log-probability, then those of each alternative."""
    cells = [
        cell
        for each in (token, *token.top)
        for cell in (each.token.translate(_TABLE), f"{each.logprob:.4f}")
    ]
    return "\t".join(cells) + "\n"


_TABLE = str.maketrans(_ESCAPED)
