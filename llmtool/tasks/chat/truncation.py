"""A conversation that has become longer than the context: its oldest turns make room, aloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from llmtool.engine.types import Engine, Message
from llmtool.errors import Cancelled, LlmtoolError
from llmtool.sessions.types import Session
from llmtool.tasks.chat.messages import see, transcript
from llmtool.tasks.chat.token_usage import count

Overflow = Literal["summarize", "drop"]
SUMMARY_TOKENS = 300  # at the most
_FILL = 0.6  # of the room is used again: not every turn should have to make some


def choose_left_out(
    engine: Engine, session: Session, head: Sequence[Message], *, room: int, policy: Overflow
) -> int:
    """Return how many of the first turns have to go, so that the prompt takes `room` tokens.

    The last turn, which is to be answered, stays. More than needed go, as long as others are left.
    """
    last = len(session.turns) - 1
    summary = min(SUMMARY_TOKENS, room // 5) if policy == "summarize" else 0
    plenty = 0
    for n_left_out in range(session.n_left_out + 1, last + 1):
        without = msgspec.structs.replace(session, n_left_out=n_left_out, summary="")
        n_tokens = count(engine, see(without, head)) + summary
        if n_tokens <= room * _FILL:
            return n_left_out
        if n_tokens <= room and not plenty:
            plenty = n_left_out
    return plenty or last


def leave_out(
    session: Session,
    n_left_out: int,
    *,
    policy: Overflow,
    summarize: Callable[[str], str],
) -> tuple[Session, str]:
    """Return a session whose first turns are left out, and what to say of it.

    Where no summary can be written they are dropped, and that is said.

    Raises:
        Cancelled: a stop was asked for; nothing is left out.
    """
    first = session.n_left_out + 1
    which = f"turn {first}" if first == n_left_out else f"turns {first} to {n_left_out}"
    summary = ""
    said = f"{which}: dropped, to make room (they stay in the session)"
    if policy == "summarize":
        turns = session.turns[session.n_left_out : n_left_out]
        try:
            summary = summarize(transcript(turns, summary=session.summary))
            said = f"{which}: replaced by a summary, to make room (they stay in the session)"
        except Cancelled:
            raise
        except LlmtoolError as exc:
            said = f"{which}: dropped, because no summary could be written: {exc}"
    return msgspec.structs.replace(session, n_left_out=n_left_out, summary=summary), said
