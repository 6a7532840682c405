"""Truncate a session that no longer fits the context: summarize or drop its oldest turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from llmtool.engine.types import Engine, Failed, Message
from llmtool.errors import Cancelled, ContextOverflow, EngineError, LlmtoolError
from llmtool.models.hub.callbacks import OnNote
from llmtool.sessions.types import Session
from llmtool.tasks.chat.messages import transcript
from llmtool.tasks.chat.token_usage import count_tokens
from llmtool.tasks.options import GenerateOptions, SamplingOptions, SummarizeOptions
from llmtool.tasks.pipeline.prepare import Case, prepare

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext

OverflowPolicy = Literal["summarize", "drop"]
SUMMARY_TEMPLATE = "chat-summary"
_MAX_SUMMARY_TOKENS = 300
_FILL = 0.6  # target share of the context after truncation, so that not every turn truncates


def truncate(
    context: TaskContext,
    session: Session,
    head: Sequence[Message],
    *,
    reserved: int,
    policy: OverflowPolicy,
    on_note: OnNote,
) -> Session:
    """Return the session, truncated so that its prompt and `reserved` tokens fit.

    The last turn, whose reply is pending, is never truncated. The others are summarized or dropped,
    oldest first; if the summary fails, they are dropped.

    Raises:
        ContextOverflow: the last turn does not fit by itself.
        Cancelled: a stop was requested.
    """
    engine = context.engine
    limit = engine.info.n_ctx - reserved
    n_tokens = count_tokens(engine, session, head)
    if n_tokens <= limit:
        return session
    last = msgspec.structs.replace(session, turns=session.turns[-1:], n_omitted=0, summary="")
    n_last = count_tokens(engine, last, head)
    if n_last > limit:
        engine.check_length(n_last, reserved)  # raises a more detailed error
        raise ContextOverflow(
            f"message needs {n_last:,} tokens, but the context holds {limit:,}; shorten it",
            needed=n_last,
            available=limit,
        )
    on_note(
        f"conversation has {n_tokens:,} tokens, but the context has room for {limit:,} and a reply"
    )
    start = session.n_omitted
    n_omitted = _choose_n_omitted(engine, session, head, limit=limit, policy=policy)
    which = f"turn {n_omitted}" if n_omitted == start + 1 else f"turns {start + 1} to {n_omitted}"
    summary, note = "", f"{which}: dropped from the prompt, still in the session"
    if policy == "summarize":
        text = transcript(session.turns[start:n_omitted], summary=session.summary)
        try:
            summary = _summarize(context, text)
            note = f"{which}: replaced by a summary in the prompt, still in the session"
        except Cancelled:
            raise
        except LlmtoolError as exc:
            note = f"{which}: dropped from the prompt, because the summary failed: {exc}"
    session = msgspec.structs.replace(session, n_omitted=n_omitted, summary=summary)
    if summary and count_tokens(engine, session, head) > limit:
        session = msgspec.structs.replace(session, summary="")
        note += "; the summary does not fit and is omitted"
    on_note(note)
    return session


def _choose_n_omitted(
    engine: Engine,
    session: Session,
    head: Sequence[Message],
    *,
    limit: int,
    policy: OverflowPolicy,
) -> int:
    """Return how many of the first turns to omit so that the prompt fits `limit` tokens.

    Omits more than necessary, down to `_FILL` of the limit, but never the last turn.
    """
    last = len(session.turns) - 1
    summary = min(_MAX_SUMMARY_TOKENS, limit // 5) if policy == "summarize" else 0
    sufficient = 0
    for n_omitted in range(session.n_omitted + 1, last + 1):
        rest = msgspec.structs.replace(session, n_omitted=n_omitted, summary="")
        n_tokens = count_tokens(engine, rest, head) + summary
        if n_tokens <= limit * _FILL:
            return n_omitted
        if n_tokens <= limit and not sufficient:
            sufficient = n_omitted
    return sufficient or last


def _summarize(context: TaskContext, text: str) -> str:
    """Summarize a transcript; split it into chunks if it is longer than the context."""
    engine = context.engine
    max_tokens = min(_MAX_SUMMARY_TOKENS, max(64, engine.info.n_ctx // 8))
    sampling = SamplingOptions(max_tokens=max_tokens)
    prepared = prepare(context, GenerateOptions(template=SUMMARY_TEMPLATE, sampling=sampling))
    request = prepared.request(Case(variables={"conversation": text}))
    if len(engine.tokenize(request.prompt).token_ids) + max_tokens > engine.info.n_ctx:
        from llmtool.tasks.summarize.task import summarize

        return str(summarize(context, text, SummarizeOptions(length="long")))
    (outcome,) = prepared.answer(engine, [request])
    if isinstance(outcome, Failed):
        raise outcome.error
    if outcome.text.strip():
        return outcome.text.strip()
    raise EngineError("the model returned an empty summary")
