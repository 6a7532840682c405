"""State of a chat in a terminal, and the actions that its commands return to the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from llmtool.cli.commands.chat.render import ReplyView
    from llmtool.cli.terminal.console import Console
    from llmtool.engine.types import Token
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Turn
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.pipeline.context import TaskContext
    from llmtool.tasks.streams import Stream


class ChatContext(msgspec.Struct):
    """A chat in a terminal.

    `tasks` is the context of the current model; `sessions` are the user's saved sessions; `view`
    shows the replies and notes of `chat`; `timeout` is the time limit of a reply, in seconds.
    """

    console: Console
    chat: Chat
    tasks: TaskContext
    sessions: Sessions
    view: ReplyView
    timeout: float | None = None


class ShowReply(msgspec.Struct, frozen=True):
    """Show a reply while it is generated."""

    stream: Stream[Token, Turn]


class Prefill(msgspec.Struct, frozen=True):
    """Put text into the next input line for editing."""

    text: str


class SwitchModel(msgspec.Struct, frozen=True):
    """Continue with another model."""

    reference: str


class Quit(msgspec.Struct, frozen=True):
    """Leave the chat."""


Action = ShowReply | Prefill | SwitchModel | Quit
