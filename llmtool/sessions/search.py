"""Full-text search over sessions, by SQLite's FTS5; the only importer of sqlite3.

The index is derived from the session files and brought up to date at each search. FTS5 gets our
words (`words`) with spaces between them and its plainest tokenizer, so that it splits nothing else.
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
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn

_APPLICATION, _VERSION = 0x6C6C6D74, 1  # what the file says of itself; another one is made anew
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


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A text of a session that a search found.

    `turn` counts from 1; `role` is `user`, `reply` or `file`, and `file` the name of the last.
    `spans` are where in `snippet` the words stand.
    """

    session: str
    turn: int
    role: str
    file: str = ""
    snippet: str
    spans: tuple[tuple[int, int], ...]
    model: str
    created_at: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found, best first, of `total`; the warnings name files that cannot be read."""

    hits: tuple[Hit, ...]
    total: int
    warnings: tuple[str, ...] = ()


def search(sessions: Sessions, query: str, *, index: Path, limit: int = 20) -> Found:
    """Return the texts that hold all words of a query: what was typed, replies, attached files.

    The words are taken as they are; in double quotes they have to follow one another. `index` is
    a file that need not exist. Where it cannot be written, an index is made in memory.

    Raises:
        UsageError: this Python's SQLite has no full-text search.
        LockedError: another process does not let go of the index.

    Example:
        >>> search(sessions, 'mill "old river"', index=cache / INDEX_NAME)  # doctest: +SKIP
        Found(hits=(Hit(session='walks', turn=3, ...),), total=1, warnings=())
    """
    _check_fts5()
    phrases = words.read_query(query)
    try:
        with files.lock(index):
            for _ in range(2):
                # What is damaged or foreign is thrown away; a search of the new one may do.
                with contextlib.suppress(sqlite3.DatabaseError, OSError):
                    return _search(_open(index), sessions, phrases, limit)
                _discard(index)
    except (OutputError, OSError):
        pass  # a cache that cannot be written
    return _search(sqlite3.connect(":memory:"), sessions, phrases, limit)


def forget(index: Path) -> None:
    """Throw an index away, with all that it holds of sessions; the next search makes it anew.

    Raises:
        LockedError: another process does not let go of the index.
        OutputError: it cannot be removed.
    """
    if index.exists():
        with files.lock(index), files.write_errors(str(index)):
            _discard(index)


def _check_fts5() -> None:
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE VIRTUAL TABLE probe USING fts5 (text)")
    except sqlite3.Error as exc:
        raise UsageError(
            "this Python's SQLite has no full-text search (FTS5): searching sessions needs another "
            f"build of Python or SQLite ({exc})"
        ) from exc


def _open(path: Path) -> sqlite3.Connection:
    """Return the index of a file, which is its owner's alone; one that is not ours goes."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name != "nt":
        path.chmod(0o600)
    database = sqlite3.connect(path)
    try:
        said = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in _MARKS]
        if said != [_APPLICATION, _VERSION] and database.execute("PRAGMA page_count").fetchone()[0]:
            raise sqlite3.DatabaseError("not an index of ours")
    except BaseException:
        database.close()
        raise
    return database


_MARKS = ("application_id", "user_version")


def _discard(path: Path) -> None:
    for name in (f"{path}-journal", f"{path}-wal", f"{path}-shm", str(path)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _search(
    database: sqlite3.Connection, sessions: Sessions, phrases: list[words.Phrase], limit: int
) -> Found:
    with contextlib.closing(database):
        # What was taken back in a session is not to stay readable in its index.
        database.execute("PRAGMA secure_delete = ON")
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            database.executescript(_SCHEMA)
        with database:
            warnings = _update(database, sessions)
        if not phrases:
            return Found(hits=(), total=0, warnings=tuple(warnings))
        # Words are letters, digits and what is not ASCII: nothing that FTS5 would obey.
        query = " AND ".join(f'"{" ".join(phrase)}"' for phrase in phrases)
        rows = database.execute(_FIND, (query, limit)).fetchall()
    hits = tuple(_hit(row, phrases) for row in rows)
    return Found(hits=hits, total=rows[0][-1] if rows else 0, warnings=tuple(warnings))


def _hit(row: tuple[str, int, str, str, str, str, str, int], phrases: list[words.Phrase]) -> Hit:
    session, turn, role, file, text, model, created_at, _ = row
    snippet, spans = words.cut_snippet(text, words.find_phrases(text, phrases))
    return Hit(
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
    """Take in what is new since the last time, and out what is gone; return warnings."""
    known = {
        name: state
        for name, *state in database.execute("SELECT name, size, mtime_ns FROM sessions")
    }
    names = sessions.names()
    for name in known.keys() - set(names):
        _take_out(database, name)
    warnings = []
    for name in names:
        try:
            found = sessions.path(name).stat()
            state = [found.st_size, found.st_mtime_ns]
            if known.get(name) == state:
                continue
            _take_out(database, name)
            _take_in(database, sessions.load(name), state)
        except InputError as exc:
            warnings.append(f"left out: {exc}")
        except (LlmtoolError, OSError):
            continue  # removed in this moment
    return warnings


def _take_out(database: sqlite3.Connection, name: str) -> None:
    rows = database.execute("SELECT id, text FROM texts WHERE session = ?", (name,)).fetchall()
    database.executemany(
        "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
        [(number, words.join_words(text)) for number, text in rows],
    )
    database.execute("DELETE FROM texts WHERE session = ?", (name,))
    database.execute("DELETE FROM sessions WHERE name = ?", (name,))


def _take_in(database: sqlite3.Connection, session: Session, state: list[int]) -> None:
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
    """Yield the texts of a turn that are searched: role, name of the file, text."""
    yield "user", "", turn.text
    for attached in turn.files:
        yield "file", attached.name, attached.text
    yield "reply", "", turn.reply
