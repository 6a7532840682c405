"""Helpers for a chat at a terminal: wait for its prompt, type a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from terminal.screen import Terminal

SCRIPT = Path(__file__).with_name("scripted_chat.py")
LONG = " ".join(f"word{i}" for i in range(400))
# The prompt enables and disables bracketed paste, and so does a reply.
PASTE_ON, PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
_PROMPT = re.compile(rb"\x1b\[\?2004h(\x1b\[\?1l)?\x1b\[\?25l")

Start = Callable[..., Terminal]


def count_prompts(terminal: Terminal) -> int:
    return len(_PROMPT.findall(terminal.raw))


def wait_for_prompt(terminal: Terminal, n: int = 1) -> None:
    """Wait for the n-th prompt."""
    terminal.wait_until(lambda: count_prompts(terminal) >= n, what=f"prompt number {n}")


def say(terminal: Terminal, text: str, answer: str, n: int) -> None:
    """Type a line, then wait for text and for the n-th prompt."""
    terminal.send(text + "\r")
    terminal.wait_for(answer)
    wait_for_prompt(terminal, n)
