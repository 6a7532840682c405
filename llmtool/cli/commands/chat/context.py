"""What the commands of a chat work on, and what they ask its loop to do."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmtool.cli.terminal.console import Console
    from llmtool.sessions.store import Sessions
    from llmtool.tasks.chat.chat import Chat, Told
    from llmtool.toolbox import Toolbox


@dataclass
class ChatContext:
    """A chat at a terminal.

    `box` runs the model of `chat` and changes with it; `sessions` are the user's saved sessions.
    """

    console: Console
    chat: Chat
    box: Toolbox
    sessions: Sessions


@dataclass(frozen=True)
class ShowReply:
    """Show a reply while it is generated."""

    events: Generator[Told, None, None]


@dataclass(frozen=True)
class Prefill:
    """Put text into the next input line, for the user to edit."""

    text: str


@dataclass(frozen=True)
class SwitchModel:
    """Continue with another model."""

    reference: str


@dataclass(frozen=True)
class Quit:
    """Leave the chat."""


Action = ShowReply | Prefill | SwitchModel | Quit
