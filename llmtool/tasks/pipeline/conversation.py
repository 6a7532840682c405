"""Chat messages as the input of a task: a conversation to continue, or a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtool.engine.types import Message, Role
from llmtool.errors import InputError

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def read_messages(values: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the role and the text of each message that has a text.

    The content is a text, or a list of parts of type text.

    Raises:
        InputError: a message has other content.

    Example:
        >>> read_messages([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])
        [('user', 'Hi')]
    """
    messages = []
    for number, value in enumerate(values, 1):
        content = value["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f"message {number} has content other than text")
        if text := "".join(map(str, texts)):
            messages.append((value["role"], text))
    return messages


def split_conversation(messages: Sequence[tuple[str, str]]) -> tuple[tuple[Message, ...], str]:
    """Return the messages before the last one of the user, and its text.

    Replies after it are omitted, because the model writes a new one.

    Raises:
        InputError: no user message, or an unknown role.
    """
    last = max((i for i, (role, _) in enumerate(messages) if role == "user"), default=None)
    if last is None:
        raise InputError("the messages have none with the role user")
    unknown = [role for role, _ in messages[:last] if role not in _ROLES]
    if unknown:
        raise InputError(f"unknown role {unknown[0]!r}; use system, user or assistant")
    before = (Message(_ROLES[role], text) for role, text in messages[:last])
    return tuple(before), messages[last][1]


def transcript(messages: Sequence[tuple[str, str]]) -> str:
    """Return a conversation as a text.

    Example:
        >>> transcript([("user", "Hi"), ("assistant", "Hello.")])
        'User: Hi\\n\\nAssistant: Hello.'
    """
    return "\n\n".join(f"{role.capitalize()}: {text.strip()}" for role, text in messages)


def insert_history(
    messages: Sequence[Message], history: Sequence[Message], *, system: str | None
) -> tuple[Message, ...]:
    """Insert the messages of a conversation before the last one of a prompt.

    A system message in the conversation replaces that of the prompt, unless `system` was given.
    """
    *before, last = messages
    if any(message.role == "system" for message in history):
        if system is None:
            before = [message for message in before if message.role != "system"]
        else:
            history = [message for message in history if message.role != "system"]
    return (*before, *history, last)
