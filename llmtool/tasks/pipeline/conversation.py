"""Chat messages as the input of a task: a conversation to continue, or a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from llmtool.engine.types import Message, Role
from llmtool.errors import InputError, UsageError
from llmtool.option_names import option, show_value

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class MessageLike(Protocol):
    """An object with a role and content, such as `Message`, or a message of another package."""

    @property
    def role(self) -> str: ...

    @property
    def content(self) -> object: ...


Messages = Iterable[Mapping[str, Any] | MessageLike]


def parse_messages(values: Messages) -> tuple[Message, ...]:
    """Return the messages that a caller passed, as mappings or objects.

    The content is a text, or a list of parts of type text.

    Raises:
        UsageError: a message is invalid; the error names its index.

    Example:
        >>> from llmtool.engine.types import Message
        >>> parse_messages([{"role": "user", "content": "Hi"}, Message("assistant", "Hello.")])
        (Message(role='user', content='Hi'), Message(role='assistant', content='Hello.'))
        >>> parse_messages([{"role": "bot", "content": "Hi"}])
        Traceback (most recent call last):
        llmtool.errors.UsageError: messages[0]: unknown role 'bot'; use system, user or assistant
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise UsageError(f"{option('messages', values)}: must be a list of messages")
    messages = tuple(parse_message(value, f"messages[{i}]") for i, value in enumerate(values))
    if not messages:
        raise UsageError(f"{option('messages')} is empty; pass at least one message of the user")
    return messages


def split_for_reply(messages: Sequence[Message]) -> tuple[tuple[Message, ...], str, str]:
    """Return the messages before the last one of the user, its text, and the start of the reply.

    The reply starts with the last message if that is the assistant's.

    Raises:
        UsageError: another message is last.
    """
    before, prefill = list(messages), ""
    if before[-1].role == "assistant":
        prefill = before.pop().content
    if not before or before[-1].role != "user":
        last = f"messages[{len(before) - 1}] has the role {before[-1].role}" if before else ""
        raise UsageError(
            f"{last or 'no message of the user'}; "
            "the last message must be the user's, or one of the assistant to continue"
        )
    text = before.pop().content
    return tuple(message for message in before if message.content.strip()), text, prefill


def parse_message(value: object, place: str) -> Message:
    """Return one message of `parse_messages`, whose place the errors name."""
    if isinstance(value, Mapping):
        fields = value
    else:
        names = ("role", "content", "tool_calls")
        fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if not fields.keys() & {"role", "content"}:
            raise UsageError(f"{option(place, value)}: must be a message with role and content")
    for name in ("role", "content"):
        if name not in fields:
            message = f"{place} has no {name}; a message has role and content"
            raise UsageError(message, option=f"{place}.{name}")
    role, content = fields["role"], fields["content"]
    if not isinstance(role, str) or role not in _ROLES:
        message = f"{place}: unknown role {role!r}; use system, user or assistant"
        raise UsageError(message, option=f"{place}.role")
    if fields.get("tool_calls"):
        message = f"{place} has tool calls, which are not supported"
        raise UsageError(message, option=f"{place}.tool_calls")
    text = _join_parts(content)
    if text is None:
        raise UsageError(
            f"{place}: content is {_describe(content)}; it must be a text, or a list of text parts",
            option=f"{place}.content",
        )
    if not text.strip() and role != "system":
        message = f"{place} is empty; remove it, or add some text"
        raise UsageError(message, option=f"{place}.content")
    return Message(_ROLES[role], text)


def _join_parts(content: object) -> str | None:
    """Return the text of a message, None if a part of it is not text."""
    parts = content if isinstance(content, (list, tuple)) else [content]
    texts = [_part_text(part) for part in parts]
    return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None


def _part_text(part: object) -> object:
    if isinstance(part, str):
        return part
    return part.get("text") if isinstance(part, Mapping) else getattr(part, "text", None)


def _describe(content: object) -> str:
    """Return content that is not text, for an error: `None`, `5`, `a list with image_url`."""
    if isinstance(content, (list, tuple)):
        for part in content:
            if not isinstance(_part_text(part), str):
                kind = part.get("type") if isinstance(part, Mapping) else None
                return f"a list with {kind or show_value(part)}"
    return show_value(content)


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
        text = _join_parts(value["content"] or "")
        if text is None:
            raise InputError(f"message {number} has content other than text")
        if text:
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
