"""Measure how a chat uses the tokens of the context."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.engine.types import Engine, Message, Prompt
from llmtool.sessions.types import Session
from llmtool.tasks.chat.messages import to_messages

DEFAULT_REPLY = 1024  # maximum tokens of a reply if `max_tokens` is unset
PLACEHOLDER = Message("user", "x")  # for a message that was not written yet


class UsagePart(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one part of the prompt: the head, or a user message and its reply."""

    label: str
    n_tokens: int


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How a context of `n_ctx` tokens is used.

    `reserved` tokens are reserved for a reply. The first `n_omitted` turns are not in the prompt.
    """

    n_ctx: int
    reserved: int
    parts: tuple[UsagePart, ...]
    n_omitted: int = 0

    @property
    def n_used(self) -> int:
        return sum(part.n_tokens for part in self.parts)

    @property
    def n_free(self) -> int:
        """The tokens available for another message."""
        return max(0, self.n_ctx - self.reserved - self.n_used)


def reply_tokens(n_ctx: int, max_tokens: int | None) -> int:
    """Return how many tokens to reserve for a reply."""
    return max_tokens or min(DEFAULT_REPLY, max(1, n_ctx // 4))


def count_tokens(engine: Engine, session: Session, head: Sequence[Message]) -> int:
    """Return the number of tokens of a session's prompt."""
    return _count(engine, to_messages(session, head))


def measure(
    engine: Engine, session: Session, head: Sequence[Message], *, reserved: int
) -> TokenUsage:
    """Return the token usage of a session, turn by turn.

    The parts add up to the whole prompt, except for the end token of the last reply. Only prompts
    that end with a user message are tokenized, because chat templates need not support others.
    """

    def n_tokens(message: Message) -> int:
        return len(engine.tokenize(Prompt(text=message.content or " ")).token_ids)

    messages = to_messages(session, head)
    if len(messages) == len(head):
        messages = (*messages, PLACEHOLDER)
    users = [i for i in range(len(head), len(messages)) if messages[i].role == "user"]
    totals = [_count(engine, messages[: i + 1]) for i in users]
    counted = max(0, totals[0] - n_tokens(messages[users[0]]))
    parts = [UsagePart(label="system prompt and template", n_tokens=counted)]
    for label, i, total in zip(_labels(session), users, totals, strict=False):
        reply = n_tokens(messages[i + 1]) if i + 1 < len(messages) else 0
        part = UsagePart(label=label, n_tokens=max(0, total + reply - counted))
        parts.append(part)
        counted += part.n_tokens
    return TokenUsage(
        n_ctx=engine.info.n_ctx,
        reserved=reserved,
        parts=tuple(parts),
        n_omitted=session.n_omitted,
    )


def _count(engine: Engine, messages: Sequence[Message]) -> int:
    return len(engine.tokenize(Prompt(messages=tuple(messages))).token_ids)


def _labels(session: Session) -> list[str]:
    """Return a label for each user message, which may contain earlier turns without a reply."""
    labels, first = [], session.n_omitted + 1
    for number, turn in enumerate(session.turns, 1):
        if number < first or (not turn.text and number < len(session.turns)):
            continue
        labels.append(f"turn {number}" if number == first else f"turns {first} to {number}")
        first = number + 1
    if labels and session.summary:
        labels[0] = f"summary and {labels[0]}"
    return labels
