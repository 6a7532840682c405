"""A session as the messages that a model sees."""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.engine.types import Message
from llmtool.sessions.types import Attachment, Session, Turn

_QUOTES = '"""'


def see(session: Session, head: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages of a conversation, behind the `head` that its template gives.

    Turns that were left out are not among them; their summary opens the first user message. What
    was asked and not answered is asked together with what follows it, because chat templates want
    turns to alternate. Reasoning is not sent again.

    Example:
        >>> turns = (Turn(text="Hi", reply="Hello!"), Turn(text="Wait"), Turn(text="How are you?"))
        >>> [m.content for m in see(Session(name="a", turns=turns), ())]
        ['Hi', 'Hello!', 'Wait\\n\\nHow are you?']
    """
    messages = list(head)
    asked = [_tell_earlier(session.summary)] if session.summary else []
    for turn in session.turns[session.n_left_out :]:
        asked.append(user_text(turn))
        if turn.reply:
            messages.append(Message("user", "\n\n".join(asked)))
            messages.append(Message("assistant", turn.reply))
            asked = []
    if asked:
        messages.append(Message("user", "\n\n".join(asked)))
    return tuple(messages)


def user_text(turn: Turn) -> str:
    """Return what a turn asks, with its files, each in quotation marks that it cannot close."""
    text = turn.sent or turn.text
    return "\n\n".join([*([text] if text else []), *(_quote(file) for file in turn.files)])


def transcript(turns: Sequence[Turn], *, summary: str = "") -> str:
    """Return turns as a text, to be summarized."""
    parts = [summary] if summary else []
    for turn in turns:
        parts.append(f"User: {user_text(turn)}")
        if turn.reply:
            parts.append(f"Assistant: {turn.reply}")
    return "\n\n".join(parts)


def _quote(file: Attachment) -> str:
    quotes = _QUOTES
    while quotes in file.text:
        quotes += '"'
    return f"File {file.name}:\n{quotes}\n{file.text.strip(chr(10))}\n{quotes}"


def _tell_earlier(summary: str) -> str:
    quotes = _QUOTES
    while quotes in summary:
        quotes += '"'
    return f"Earlier in this conversation:\n{quotes}\n{summary}\n{quotes}"
