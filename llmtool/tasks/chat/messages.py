"""Convert a session to the messages that the model sees."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmtool.engine.types import Message
from llmtool.errors import UsageError
from llmtool.sessions.types import Session, Turn

_MIN_QUOTES = 3


def to_messages(session: Session, head: Sequence[Message]) -> tuple[Message, ...]:
    """Return `head`, the messages from the template, followed by those of a session.

    Truncated turns are omitted; their summary starts the first user message. A message without a
    reply is joined with the next one, because chat templates require alternating roles. Reasoning
    is omitted.

    Example:
        >>> from llmtool.sessions.types import Session, Turn
        >>> turns = (Turn(user="Hi", text="Hello!"), Turn(user="Wait"), Turn(user="How are you?"))
        >>> [m.content for m in to_messages(Session(name="a", turns=turns), ())]
        ['Hi', 'Hello!', 'Wait\\n\\nHow are you?']
    """
    messages = list(head)
    pending = []  # user texts of the next message
    if session.summary:
        pending.append(f"Earlier in this conversation:\n{_quote(session.summary)}")
    for turn in session.turns[session.n_omitted :]:
        pending.append(user_text(turn))
        if turn.text:
            messages.append(Message("user", "\n\n".join(pending)))
            messages.append(Message("assistant", turn.text))
            pending = []
    if pending:
        messages.append(Message("user", "\n\n".join(pending)))
    return tuple(messages)


def to_turns(messages: Sequence[Message]) -> tuple[str, tuple[Turn, ...]]:
    """Return the system prompt of a conversation, "" if it has none, and its turns.

    Raises:
        UsageError: a system message is not the first one, or a reply follows no user message.

    Example:
        >>> from llmtool.engine.types import Message
        >>> to_turns([Message("user", "Hi"), Message("assistant", "Hello!")])[1][0].text
        'Hello!'
    """
    system = ""
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        if message.role == "user":
            turns.append(Turn(user=message.content, finish_reason="interrupted"))
        elif message.role == "assistant" and turns and not turns[-1].text:
            turns[-1] = Turn(user=turns[-1].user, text=message.content)
        elif message.role == "system" and i == 0:
            system = message.content
        else:
            rule = "be the first" if message.role == "system" else "follow one of the user"
            raise UsageError(
                f"messages[{i}] has the role {message.role}; in a chat, it must {rule}"
            )
    return system, tuple(turns)


def user_text(turn: Turn) -> str:
    """Return the user's message of a turn, with its files quoted unless `sent` includes them."""
    text = turn.sent or turn.user
    if turn.exchange is not None:
        return text
    files = (f"File {file.name}:\n{_quote(file.text.strip(chr(10)))}" for file in turn.files)
    return "\n\n".join([*([text] if text else []), *files])


def transcript(turns: Sequence[Turn], *, summary: str = "") -> str:
    """Return turns as one text, for summarizing."""
    parts = [summary] if summary else []
    for turn in turns:
        parts.append(f"User: {user_text(turn)}")
        if turn.text:
            parts.append(f"Assistant: {turn.text}")
    return "\n\n".join(parts)


def _quote(text: str) -> str:
    """Return a text in quotation marks that do not occur in it."""
    longest = max(map(len, re.findall('"+', text)), default=0)
    quotes = '"' * max(_MIN_QUOTES, longest + 1)
    return f"{quotes}\n{text}\n{quotes}"
