"""State of a chat in a terminal, and the actions that its commands return to the loop."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from llmtool.cli.terminal.console import Console
    from llmtool.sessions.store import Sessions
    from llmtool.tasks.chat.chat import Chat, ChatEvent
    from llmtool.tasks.pipeline.context import TaskContext


class ChatContext(msgspec.Struct):
    """A chat in a terminal.

    `tasks` is the context of the current model; `sessions` are the user's saved sessions.
    """

    console: Console
    chat: Chat
    tasks: TaskContext
    sessions: Sessions


class ShowReply(msgspec.Struct, frozen=True):
    """Show a reply while it is generated."""

    events: Generator[ChatEvent, None, None]


class Prefill(msgspec.Struct, frozen=True):
    """Put text into the next input line for editing."""

    text: str


class SwitchModel(msgspec.Struct, frozen=True):
    """Continue with another model."""

    reference: str


class Quit(msgspec.Struct, frozen=True):
    """Leave the chat."""


Action = ShowReply | Prefill | SwitchModel | Quit
