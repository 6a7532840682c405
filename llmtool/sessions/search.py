"""Full-text search over sessions with SQLite's FTS5.

The index is derived from the session files and updated at each search. `words` splits the text
into words; FTS5 receives them separated by spaces, and its `ascii` tokenizer splits only there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmtool import files
from llmtool.errors import InputError, LlmtoolError, OutputError, UsageError
from llmtool.sessions import words
from llmtool.sessions.store import Sessions, describe_skipped
from llmtool.sessions.types import Session, Turn

_APPLICATION, _VERSION = 0x6C6C6D74, 2  # a file with other values is replaced
_SCHEMA = f"""
CREATE TABLE sessions (name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER);
CREATE TABLE texts (
    id INTEGER PRIMARY KEY, session TEXT, turn INTEGER, role TEXT, file TEXT, text TEXT,
    model TEXT, created_at TEXT
);
CREATE INDEX texts_of_session ON texts (session);
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'ascii');
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""
_FIND = """
SELECT session, turn, role, file, texts.text, model, created_at, count(*) OVER ()
FROM words JOIN texts ON texts.id = words.rowid
WHERE words MATCH ? ORDER BY words.rank, created_at DESC, words.rowid DESC LIMIT ?
"""


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """A text that matches a search.

    `turn` counts from 1; `role` is `user`, `assistant` or `file`; `file` is the name of an attached
    file. `spans` are the start and end of each matching word in `snippet`.
    """

    session: str
    turn: int
    role: str
    file: str = ""
    snippet: str
    spans: tuple[tuple[int, int], ...]
    model: str
    created_at: str


class SearchResults(msgspec.Struct, frozen=True, kw_only=True):
    """The best hits, best first, of `total`; `warnings` report the files that were skipped."""

    hits: tuple[SearchHit, ...]
    total: int
    warnings: tuple[str, ...] = ()


def search(sessions: Sessions, query: str, *, index: Path, limit: int = 20) -> SearchResults:
    """Return the messages, replies and attached files that contain all words of a query.

    A query has no operators; words in double quotes are a phrase. `index` is the file of the index,
    which is created if missing. If it cannot be written, the index is built in memory.

    Raises:
        UsageError: this Python's SQLite lacks FTS5.
        LockedError: another process holds the lock of the index for too long.

    Example:
        >>> from pathlib import Path
        >>> from llmtool.sessions.store import Sessions
        >>> from llmtool.sessions.types import Session, Turn
        >>> sessions = Sessions(Path("sessions"))
        >>> turns = (Turn(user="Where is the mill?", text="By the old river."),)
        >>> with sessions.lock("walks"):
        ...     sessions.save(Session(name="walks", turns=turns))
        >>> found = search(sessions, '"old river"', index=Path("sessions.db"))
        >>> [(hit.session, hit.turn, hit.snippet) for hit in found.hits]
        [('walks', 1, 'By the old river.')]
    """
    _check_fts5()
    phrases = words.read_query(query)
    try:
        with files.lock(index):
            for _ in range(2):
                # Replace a damaged or foreign index once.
                with contextlib.suppress(sqlite3.DatabaseError, OSError):
                    return _search(_open(index), sessions, phrases, limit)
                _discard(index)
    except (OutputError, OSError):
        pass  # the cache folder is not writable
    return _search(sqlite3.connect(":memory:"), sessions, phrases, limit)


def with_session(found: SearchResults, session: Session, query: str) -> SearchResults:
    """Add the matches in a session that is not saved; they come first."""
    phrases = words.read_query(query)
    hits = []
    for number, turn in enumerate(session.turns, 1):
        for role, file, text in _texts(turn):
            joined = f" {words.join_words(text)} "
            if phrases and all(f" {' '.join(phrase)} " in joined for phrase in phrases):
                row = (session.name, number, role, file, text, turn.model, turn.created_at, 0)
                hits.append(_hit(row, phrases))
    return msgspec.structs.replace(found, hits=(*hits, *found.hits), total=len(hits) + found.total)


def remove_index(index: Path) -> None:
    """Remove an index, with the texts in it; the next search rebuilds it."""
    if index.exists():
        with files.lock(index), files.write_errors(str(index)):
            _discard(index)


def _check_fts5() -> None:
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE VIRTUAL TABLE probe USING fts5 (text)")
    except sqlite3.Error as exc:
        raise UsageError(
            f"searching sessions requires SQLite with FTS5 ({exc}); "
            "use a Python whose SQLite has it"
        ) from exc


def _open(path: Path) -> sqlite3.Connection:
    """Open an index with mode 0600."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name != "nt":
        path.chmod(0o600)
    database = sqlite3.connect(path)
    try:
        found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS]
        is_empty = not database.execute("PRAGMA page_count").fetchone()[0]
        if found != [_APPLICATION, _VERSION] and not is_empty:
            raise sqlite3.DatabaseError("not an index of llmtool")
    except BaseException:
        database.close()
        raise
    return database


_PRAGMAS = ("application_id", "user_version")


def _discard(path: Path) -> None:
    for name in (f"{path}-journal", f"{path}-wal", f"{path}-shm", str(path)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _search(
    database: sqlite3.Connection, sessions: Sessions, phrases: list[words.Phrase], limit: int
) -> SearchResults:
    with contextlib.closing(database):
        # Text removed from a session must not remain readable in the index file.
        database.execute("PRAGMA secure_delete = ON")
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            database.executescript(_SCHEMA)
        with database:
            warnings = _update(database, sessions)
        if not phrases:
            return SearchResults(hits=(), total=0, warnings=tuple(warnings))
        # Words contain no ASCII punctuation, and so no FTS5 syntax.
        query = " AND ".join(f'"{" ".join(phrase)}"' for phrase in phrases)
        rows = database.execute(_FIND, (query, limit)).fetchall()
    hits = tuple(_hit(row, phrases) for row in rows)
    return SearchResults(hits=hits, total=rows[0][-1] if rows else 0, warnings=tuple(warnings))


def _hit(
    row: tuple[str, int, str, str, str, str, str, int], phrases: list[words.Phrase]
) -> SearchHit:
    session, turn, role, file, text, model, created_at, _ = row
    snippet, spans = words.cut_snippet(text, words.find_phrases(text, phrases))
    return SearchHit(
        session=session,
        turn=turn,
        role=role,
        file=file,
        snippet=snippet,
        spans=spans,
        model=model,
        created_at=created_at,
    )


def _update(database: sqlite3.Connection, sessions: Sessions) -> list[str]:
    """Update the index from the session files; return warnings."""
    known = {
        name: state
        for name, *state in database.execute("SELECT name, size, mtime_ns FROM sessions")
    }
    names = sessions.names()
    for name in known.keys() - set(names):
        _remove(database, name)
    warnings = []
    for name in names:
        try:
            found = sessions.path(name).stat()
            state = [found.st_size, found.st_mtime_ns % (1 << 63)]  # the range of SQLite
            if known.get(name) == state:
                continue
            _remove(database, name)
            _add(database, sessions.load(name), state)
        except InputError as exc:
            warnings.append(str(exc))
        except (LlmtoolError, OSError):
            continue  # removed in the meantime
    return describe_skipped(warnings)


def _remove(database: sqlite3.Connection, name: str) -> None:
    rows = database.execute("SELECT id, text FROM texts WHERE session = ?", (name,)).fetchall()
    database.executemany(
        "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
        [(number, words.join_words(text)) for number, text in rows],
    )
    database.execute("DELETE FROM texts WHERE session = ?", (name,))
    database.execute("DELETE FROM sessions WHERE name = ?", (name,))


def _add(database: sqlite3.Connection, session: Session, state: list[int]) -> None:
    for number, turn in enumerate(session.turns, 1):
        for role, file, text in _texts(turn):
            added = database.execute(
                "INSERT INTO texts (session, turn, role, file, text, model, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (session.name, number, role, file, text, turn.model, turn.created_at),
            )
            database.execute(
                "INSERT INTO words (rowid, text) VALUES (?, ?)",
                (added.lastrowid, words.join_words(text)),
            )
    database.execute("INSERT INTO sessions VALUES (?, ?, ?)", (session.name, *state))


def _texts(turn: Turn) -> Iterator[tuple[str, str, str]]:
    """Yield the searchable texts of a turn: role, file name, text."""
    yield "user", "", turn.user
    for attached in turn.files:
        yield "file", attached.name, attached.text
    yield "assistant", "", turn.text
