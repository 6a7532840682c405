"""Print the output of `sessions`: the list, a conversation, search results."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.cli.render import tables
from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, UsageError
from llmtool.sessions.export import FORMATS, INCOMPLETE, find_format
from llmtool.sessions.store import describe_skipped, timestamp

if TYPE_CHECKING:
    from llmtool.sessions.search import SearchHit, SearchResults
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Session, Turn

_BOLD, _FAINT, _HIT = "1", "2", "1;4"
_ROLES = {"user": "message", "assistant": "reply", "file": "file"}


def entries(console: Console, sessions: Sessions, *, here: bool) -> list[dict[str, Any]]:
    """Return the sessions for `sessions ls --json`; report damaged ones on stderr."""
    found, errors = [], []
    for name in sessions.names():
        try:
            session = sessions.load(name)
            used_at = sessions.path(name).stat().st_mtime
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


def rows(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the entries as table rows."""
    return [
        (
            entry["name"],
            str(entry["turns"]),
            entry["model"] or "-",
            _local(entry["last_used"]),
            _short(entry["folder"]) or "-",
        )
        for entry in entries
    ]


def conversation(console: Console, session: Session) -> None:
    """Print a session, its messages prefixed with `> `."""
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


def _turn(console: Console, turn: Turn) -> None:
    quoted = "\n".join(f"> {line}".rstrip() for line in turn.user.split("\n"))
    _write(console, f"\n{quoted}\n", _BOLD)
    for file in turn.files:
        _write(
            console,
            f"[{file.name}: {len(file.text):,} characters; --json shows the text]\n",
            _FAINT,
        )
    if turn.reasoning.strip():
        _write(console, f"\n{turn.reasoning.strip()}\n", _FAINT)
    console.stdout.write("\n" + turn.text)
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
    _write(console, hit.session, _BOLD)
    role = _ROLES[hit.role] + (f" {hit.file}" if hit.file else "")
    facts = [f"turn {hit.turn}", role, _local(hit.created_at), hit.model]
    _write(console, f"  {', '.join(fact for fact in facts if fact)}\n", _FAINT)
    at = 0
    for start, end in hit.spans:
        console.stdout.write(hit.snippet[at:start])
        _write(console, hit.snippet[start:end], _HIT)
        at = end
    console.stdout.write(hit.snippet[at:])
    console.stdout.end_line()


def _write(console: Console, text: str, style: str) -> None:
    console.stdout.write(text, style=style if console.stdout_color else "")


def _local(timestamp: str) -> str:
    """Return a timestamp in local time; text that is not a timestamp, unchanged."""
    import calendar

    with contextlib.suppress(ValueError, OverflowError):
        seconds = calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    return timestamp


def _short(folder: str) -> str:
    """Return a path with ~ for the home directory."""
    home = os.path.expanduser("~")
    inside = folder == home or folder.startswith(home.rstrip(os.sep) + os.sep)
    return f"~{folder[len(home) :]}" if inside and home != os.sep else folder
