"""Show the status line, the last turn, context usage and speed of a chat."""

from __future__ import annotations

from llmtool.cli.commands.chat.context import ChatContext
from llmtool.cli.commands.chat.render import ReplyView
from llmtool.cli.render import tables
from llmtool.cli.terminal.text import cell_width, truncate_to_width
from llmtool.sessions.types import Turn
from llmtool.sizes import format_count
from llmtool.tasks.chat.token_usage import TokenUsage

_BAR_WIDTH = 30


def status_line(context: ChatContext, columns: int) -> str:
    """Return the model, the tokens in the context, the speed and the pending files.

    If the line is wider than `columns`, its first parts are dropped.
    """
    parts = [context.tasks.model.name]
    turns = context.chat.turns
    if turns and turns[-1].completion_tokens:
        n_ctx = context.tasks.engine.info.n_ctx
        parts.append(f"{_tokens_in_context(turns):,}/{n_ctx:,} tokens")
        parts += [_speed(turns[-1])] if turns[-1].decode_seconds else []
    if context.chat.files:
        parts.append(format_count(len(context.chat.files), "file"))
    while len(parts) > 1 and cell_width(" · ".join(parts)) > columns:
        parts.pop(0)
    return truncate_to_width(" · ".join(parts), columns)


def show_last_turn(context: ChatContext) -> None:
    """Show the last turn of a resumed session."""
    console, session = context.console, context.chat.session
    n = len(session.turns)
    if not n:
        return
    last = session.turns[-1]
    console.note(f"session {session.name!r}, turn {n}:")
    console.stdout.write(f"> {last.user}\n")
    if last.text:
        ReplyView(console).replay(last.text)
    else:
        console.note("no reply; /retry generates one")


def show_tokens(context: ChatContext) -> None:
    """Show how the tokens of the context are used."""
    usage = context.chat.token_usage()
    rows = [(part.label, part.n_tokens) for part in usage.parts]
    rows += [("reserved for the reply", usage.reserved), ("free", usage.n_free)]
    tables.table(
        context.console,
        ["part", "tokens", ""],
        [
            *((label, f"{n_tokens:,}", _bar(n_tokens, usage)) for label, n_tokens in rows),
            ("context", f"{usage.n_ctx:,}", ""),
        ],
        right=["tokens"],
    )
    if usage.n_omitted:
        turns = format_count(usage.n_omitted, "turn")
        context.console.note(f"the first {turns} are no longer sent to the model")


def show_stats(context: ChatContext) -> None:
    """Show the token counts and the speed of the last reply."""
    if not context.chat.turns:
        context.console.note("no reply yet")
        return
    turn = context.chat.turns[-1]
    reply = f"{turn.completion_tokens:,} tokens in {turn.seconds:.1f} s, {_speed(turn)}"
    tables.fields(
        context.console,
        [
            ("model", turn.model),
            ("prompt", f"{turn.prompt_tokens:,} tokens, {turn.cached_tokens:,} cached"),
            ("reply", reply),
            ("seed", str(turn.seed)),
            ("session", context.chat.session.name),
        ],
    )


def _tokens_in_context(turns: tuple[Turn, ...]) -> int:
    """Return the tokens of the last prompt and reply, skipping turns interrupted before a reply."""
    turn = next((turn for turn in reversed(turns) if turn.prompt_tokens), turns[-1])
    return turn.prompt_tokens + turn.completion_tokens


def _speed(turn: Turn) -> str:
    """Return the decoding speed; the first token counts as part of the prompt."""
    n_tokens = turn.completion_tokens - 1
    return f"{n_tokens / turn.decode_seconds:.0f} tok/s" if turn.decode_seconds else "-"


def _bar(n_tokens: int, usage: TokenUsage) -> str:
    return "█" * max(n_tokens > 0, round(_BAR_WIDTH * n_tokens / max(1, usage.n_ctx)))
