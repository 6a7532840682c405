"""Print sessions: the list, a conversation, single exchanges, search results."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool import files
from llmtool.cli.render import tables
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.text import cell_width, escape_control_chars, truncate_to_width
from llmtool.cli.terminal.wrap import wrap, wrap_message
from llmtool.errors import InputError, UsageError
from llmtool.sessions.export import FORMATS, INCOMPLETE, find_format
from llmtool.sessions.log import is_log_name
from llmtool.sessions.store import describe_skipped, timestamp
from llmtool.sizes import format_age

if TYPE_CHECKING:
    from llmtool.sessions.search import SearchHit, SearchResults
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Session, Turn

_BOLD, _FAINT = "1", "2"
_MAX_TITLE = 500
_MIN_TITLE = 28  # cells; with less, other columns are omitted
_ROLES = {"user": "message", "assistant": "reply", "file": "file"}


def entries(
    console: Console, sessions: Sessions, names: Iterable[str], *, here: bool = False
) -> list[dict[str, Any]]:
    """Return the named sessions for `sessions ls --json`; report damaged ones on stderr."""
    found, errors = [], []
    for name in names:
        try:
            session = sessions.load(name)
            used_at = files.modified_at(sessions.path(name).stat())
        except InputError as exc:
            errors.append(str(exc))
            continue
        except (UsageError, OSError):
            continue  # removed meanwhile
        if here and session.folder != os.getcwd():
            continue
        used = next((turn.model for turn in reversed(session.turns) if turn.model), None)
        found.append(
            {
                "name": name,
                "title": title(session),
                "turns": len(session.turns),
                "model": used or session.model,
                "folder": session.folder,
                "created_at": session.created_at,
                "last_used": timestamp(used_at),
                "path": str(sessions.path(name)),
            }
        )
    for line in describe_skipped(errors):
        console.note(line)
    return found


def title(session: Session) -> str:
    """Return the first message of a conversation on one line, without control characters."""
    if is_log_name(session.name):
        return "replies of gen and run (llmtool logs)"
    if not session.turns:
        return ""
    first = session.turns[0]
    text = first.user.strip() or ", ".join(file.name for file in first.files)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text[:_MAX_TITLE]).split())


def sessions_table(console: Console, entries: list[dict[str, Any]]) -> None:
    """Print sessions; on a terminal, with ages, and with titles that fit."""
    is_terminal = console.stdout.is_terminal
    columns = {
        "name": [entry["name"] for entry in entries],
        "title": [entry["title"] or "-" for entry in entries],
        "turns": [str(entry["turns"]) for entry in entries],
        "model": [entry["model"] or "-" for entry in entries],
        "last used": [
            age(entry["last_used"]) if is_terminal else entry["last_used"] for entry in entries
        ],
        "folder": [_short(entry["folder"]) or "-" for entry in entries],
    }
    if is_terminal:
        for dropped in ("folder", "model", None):
            others = (max(map(cell_width, [name, *columns[name]])) for name in columns)
            n_free = console.width - sum(others) - 2 * (len(columns) - 1)
            n_free += max(map(cell_width, ["title", *columns["title"]]))
            if dropped is None or n_free >= min(_MIN_TITLE, console.width // 3):
                break
            del columns[dropped]
        if console.width < tables.MIN_TABLE_WIDTH:  # a line for each cell
            n_free = console.width - cell_width("last used") - 2
        n_free = max(n_free, _MIN_TITLE // 2)
        columns["title"] = [_shorten(text, n_free) for text in columns["title"]]
    tables.table(console, list(columns), list(zip(*columns.values(), strict=True)), right=["turns"])


def conversation(console: Console, session: Session) -> None:
    """Print a session: messages prefixed with `> `, and on a terminal, replies as Markdown."""
    facts = [session.name, session.model, _local(session.created_at), _short(session.folder)]
    _write(console, " · ".join(fact for fact in facts if fact) + "\n", _FAINT)
    for name, text in (("system", session.system), ("summary", session.summary)):
        if text:
            _write(console, f"\n{name}: {text.strip()}\n", _FAINT)
    for number, turn in enumerate(session.turns, 1):
        if number == session.n_omitted + 1 and session.n_omitted:
            _write(
                console,
                f"\n(the {session.n_omitted} turns above are no longer sent to the model)\n",
                _FAINT,
            )
        _turn(console, turn)


def exchanges(console: Console, turns: Sequence[Turn]) -> None:
    """Print logged turns like those of a conversation, each with its time, model and template."""
    for number, turn in enumerate(turns):
        exchange = turn.exchange
        template = exchange.template if exchange and exchange.template != "gen" else ""
        continued = "continued" if exchange and exchange.previous else ""
        facts = [_local(turn.created_at), turn.model, template and f"run {template}", continued]
        line = " · ".join(fact for fact in facts if fact)
        _write(console, f"{chr(10) * (number > 0)}{line}\n", _FAINT)
        if exchange and exchange.system:
            _write(console, f"system: {exchange.system.strip()}\n", _FAINT)
        _turn(console, turn)


def _turn(console: Console, turn: Turn) -> None:
    quoted = "\n".join(
        f"> {row}".rstrip()
        for line in turn.user.split("\n")
        for row in (wrap(line, console.width - 2) if console.stdout.is_terminal else [line])
    )
    _write(console, f"\n{quoted}\n", _BOLD)
    for file in turn.files:
        _write(
            console,
            f"[{file.name}: {len(file.text):,} characters; --json shows the text]\n",
            _FAINT,
        )
    if turn.reasoning.strip():
        _write(console, f"\n{turn.reasoning.strip()}\n", _FAINT)
    console.stdout.write("\n")
    if console.can_draw:
        from llmtool.cli.render.markdown import render_markdown

        rich = tables.make_rich_console(console)
        console.stdout.write_raw(render_markdown(turn.text.rstrip("\n"), rich))
    else:
        console.stdout.write(turn.text)
    console.stdout.end_line()
    if turn.finish_reason in INCOMPLETE:
        _write(console, f"{INCOMPLETE[turn.finish_reason]}\n", _FAINT)


def choose_format(to_file: str | None, requested: str | None) -> str:
    """Return the format of an export: the requested one, else that of the file name, else md."""
    found = find_format(to_file) if to_file else "md"
    if requested is not None:
        if to_file and found not in (None, requested):
            raise UsageError(f"-o {to_file}: --format {requested} writes .{requested}, not {found}")
        return requested
    if found is None and to_file and Path(to_file).suffix:
        raise UsageError(f"-o {to_file}: unknown extension; use .{', .'.join(FORMATS)} or --format")
    return found or "md"


def hits(console: Console, found: SearchResults, *, as_json: bool) -> None:
    """Print search results: with highlighted words on a terminal, as rows in a pipe."""
    if as_json:
        console.stdout.write_json(msgspec.to_builtins({"total": found.total, "hits": found.hits}))
    elif not console.stdout.is_terminal:
        tables.table(
            console,
            [],
            [
                (hit.session, str(hit.turn), hit.role, hit.created_at, hit.snippet)
                for hit in found.hits
            ],
        )
    else:
        for number, hit in enumerate(found.hits):
            console.stdout.write("\n" if number else "")
            _hit(console, hit)
    if not found.total:
        console.note("no matches; a text must contain all words")
    elif found.total > len(found.hits):
        console.note(f"showing {len(found.hits)} of {found.total} hits; --limit N shows more")


def _hit(console: Console, hit: SearchHit) -> None:
    role = _ROLES[hit.role] + (f" {hit.file}" if hit.file else "")
    facts = [f"turn {hit.turn}", role, _local(hit.created_at), hit.model]
    parts = [(hit.session, "bold"), (f"  {', '.join(fact for fact in facts if fact)}\n", "dim")]
    at = 0
    for start, end in hit.spans:
        parts += [(hit.snippet[at:start], ""), (hit.snippet[start:end], "bold underline")]
        at = end
    text = tables.text_class()()
    for part, style in [*parts, (hit.snippet[at:], "")]:
        text.append(escape_control_chars(part), style)
    tables.draw(console, text)


def _write(console: Console, text: str, style: str) -> None:
    if console.stdout.is_terminal:
        text = wrap_message(escape_control_chars(text), console.width)
    console.stdout.write(text, style=style if console.stdout_color else "")


def age(timestamp: str) -> str:
    """Return how long ago a timestamp is; text that is not a timestamp, unchanged."""
    seconds = _seconds(timestamp)
    return timestamp if seconds is None else format_age(time.time() - seconds)


def _local(timestamp: str) -> str:
    """Return a timestamp in local time; text that is not a timestamp, unchanged."""
    seconds = _seconds(timestamp)
    if seconds is None:
        return timestamp
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _seconds(timestamp: str) -> float | None:
    import calendar

    try:
        return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))
    except (ValueError, OverflowError):
        return None


def _short(folder: str) -> str:
    """Return a path with ~ for the home directory."""
    home = os.path.expanduser("~")
    inside = folder == home or folder.startswith(home.rstrip(os.sep) + os.sep)
    return f"~{folder[len(home) :]}" if inside and home != os.sep else folder


def _shorten(text: str, n_cells: int) -> str:
    """Return a text of at most `n_cells`; an ellipsis replaces what is omitted."""
    if cell_width(text) <= n_cells:
        return text
    return truncate_to_width(text, n_cells - 1).rstrip() + "…"
