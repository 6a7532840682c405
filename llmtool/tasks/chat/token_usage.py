"""Who takes how many tokens of a context."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.engine.types import Engine, Message, Prompt
from llmtool.sessions.types import Session

DEFAULT_REPLY = 1024  # tokens of a reply at the most, where nobody says how many


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of the conversation takes: the beginning, or a message and its reply."""

    label: str
    n_tokens: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The context of a model, shared out.

    `reply` is what is set aside for an answer; the model does not see the first `n_left_out` turns
    any more.
    """

    n_ctx: int
    reply: int
    shares: tuple[Share, ...]
    n_left_out: int = 0

    @property
    def n_used(self) -> int:
        return sum(share.n_tokens for share in self.shares)

    @property
    def n_free(self) -> int:
        """What another message may take."""
        return max(0, self.n_ctx - self.reply - self.n_used)


def count(engine: Engine, messages: Sequence[Message]) -> int:
    """Return how many tokens a prompt of these messages has."""
    return len(engine.tokenize(Prompt(messages=tuple(messages))).token_ids)


def count_shares(
    engine: Engine, messages: Sequence[Message], *, n_head: int, session: Session
) -> list[Share]:
    """Return what the beginning of a conversation takes, and what each turn does.

    They come to the whole, but for the mark at the end of the last reply. Only prompts that end
    with a user are counted: others are none that a chat template must be able to write.
    """

    def text(message: Message) -> int:
        return len(engine.tokenize(Prompt(text=message.content or " ")).token_ids)

    users = [i for i in range(n_head, len(messages)) if messages[i].role == "user"]
    totals = [count(engine, messages[: i + 1]) for i in users]
    done = max(0, totals[0] - text(messages[users[0]]))
    shares = [Share(label="system prompt and template", n_tokens=done)]
    for label, i, total in zip(_labels(session), users, totals, strict=False):
        reply = text(messages[i + 1]) if i + 1 < len(messages) else 0
        n_tokens = max(0, total + reply - done)
        shares.append(Share(label=label, n_tokens=n_tokens))
        done += n_tokens
    return shares


def _labels(session: Session) -> list[str]:
    """Return a name for each message of a user; what was not answered goes with what follows."""
    labels, first = [], session.n_left_out + 1
    for number, turn in enumerate(session.turns, 1):
        if number < first or (not turn.reply and number < len(session.turns)):
            continue
        labels.append(f"turn {number}" if number == first else f"turns {first} to {number}")
        first = number + 1
    if labels and session.summary:
        labels[0] = f"summary and {labels[0]}"
    return labels


def reply_tokens(n_ctx: int, max_tokens: int | None) -> int:
    """Return how many tokens are set aside for a reply."""
    return max_tokens or min(DEFAULT_REPLY, max(1, n_ctx // 4))
