"""Store sessions as `NAME.jsonl` in one folder: a header line, then one line per turn."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec

from llmtool import files
from llmtool.errors import (
    InputError,
    LlmtoolError,
    LockedError,
    OutputError,
    UsageError,
    format_json_error,
    invalid_unicode,
    os_error_reason,
)
from llmtool.option_names import option
from llmtool.sessions import names, recovery
from llmtool.sessions.types import VERSION, Session, StoredTurn, Turn, TurnV1, restore_all
from llmtool.sizes import format_count
from llmtool.suggest import suggest

S = TypeVar("S", bound=msgspec.Struct)
INDEX_NAME = "sessions.db"  # the index of `search`, in the cache folder
_DAMAGED = ".damaged"  # appended to the name of a repaired file's original


class _Damaged(Exception):
    """A session file is damaged; some of its turns may be valid."""


class Sessions:
    """The saved sessions of a user.

    Example:
        >>> from pathlib import Path
        >>> from llmtool.sessions.types import Session, Turn
        >>> sessions = Sessions(Path("sessions"))
        >>> with sessions.lock("work"):
        ...     sessions.save(Session(name="work", turns=(Turn(user="Hi", text="Hello!"),)))
        >>> sessions.load("work").turns[0].text
        'Hello!'
    """

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is created by the first `save`."""
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the file of a session.

        Raises:
            UsageError: the name has characters other than letters, digits, `_`, `-` and `.`.
        """
        if not names.is_name(name):
            raise UsageError(
                f"{name!r} is not a valid session name; use at most 100 letters, digits, -, _ "
                "and . (fewer if not ASCII), and start with a letter, digit or _"
            )
        return self.folder / f"{name}{names.SUFFIX}"

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def find(self, name: str) -> Path:
        """Return the file of an existing session.

        Raises:
            UsageError: the session does not exist; the message suggests a similar name.
        """
        path = self.path(name)
        if not path.exists():
            raise UsageError(f"unknown session {name!r}{self._hint(name)}")
        return path

    def names(self) -> list[str]:
        """Return the names of all sessions, most recently saved first."""
        return names.list_names(self.folder)

    def load(self, name: str) -> Session:
        """Return a session.

        Raises:
            UsageError: it does not exist; the message suggests a similar name.
            InputError: its file is damaged; the message has the line number.
        """
        try:
            return _decode(self.path(name), self._read(name))
        except _Damaged as exc:
            raise InputError(str(exc)) from exc

    def recover(self, name: str) -> tuple[Session, str | None]:
        """Return what is valid of a session, and a report if its file is damaged.

        Raises:
            UsageError: it does not exist; the message suggests a similar name.
            InputError: nothing is valid, or a newer version wrote the file.
        """
        session, report = self._recover(name, self._read(name))
        if session is None:
            raise InputError(report)
        return session, report

    def repair(self, name: str) -> tuple[Session, str | None]:
        """Recover a session, which must be locked, and replace its file if that is damaged.

        The original is saved as `NAME.jsonl.damaged`. If nothing is valid, the session is new.

        Raises:
            UsageError: it does not exist.
            InputError: the file cannot be read, or a newer version wrote it.
            OutputError: a file cannot be written; the session is unchanged.
        """
        data = self._read(name)
        session, report = self._recover(name, data)
        if session is None:
            session = Session(name=name, folder=os.getcwd(), created_at=timestamp())
            report = f"{report}; nothing could be recovered"
        if report is not None:
            first = Path(f"{self.path(name)}{_DAMAGED}")
            copy, number = first, 1
            while copy.exists():
                number += 1
                copy = Path(f"{first}-{number}")
            files.write_atomically(copy, data)
            self.save(session)
            report = f"{report}; the original is saved as {copy.name}"
        return session, report

    def _recover(self, name: str, data: bytes) -> tuple[Session | None, str | None]:
        path = self.path(name)
        try:
            return _decode(path, data), None
        except _Damaged as exc:
            found = recovery.recover(data, name)
            if found is None:
                return None, str(exc)
            session, n_lost = found
            lost = f", {n_lost} lost" if n_lost else ""
            turns = format_count(len(session.turns), "turn")
            return _check(path, session), f"{exc}; recovered {turns}{lost}"

    def _copies(self, name: str) -> list[Path]:
        """Return the damaged originals of a session."""
        return [*self.folder.glob(f"{name}{names.SUFFIX}{_DAMAGED}*")]

    def _read(self, name: str) -> bytes:
        path = self.path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise UsageError(f"unknown session {name!r}{self._hint(name)}") from None
        except OSError as exc:
            raise _read_error(path, exc) from exc

    def _hint(self, name: str) -> str:
        names = self.names()
        if names:
            return suggest(name, names) or "; `llmtool sessions ls` lists them"
        return "; no session has been saved yet"

    def save(self, session: Session) -> None:
        """Write a session atomically, with mode 0600.

        Raises:
            OutputError: the file cannot be written; the old file is unchanged.
            InputError: a text is not valid Unicode.
        """
        head = msgspec.to_builtins(session)
        del head["turns"]
        lines = [head, *StoredTurn.make_all(session.turns)]
        try:
            data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        except UnicodeEncodeError as exc:
            raise invalid_unicode(exc) from exc
        path = self.path(session.name)
        if not path.exists():
            self._remove_locks(session.name)
        files.write_atomically(path, data)

    def _remove_locks(self, current: str) -> None:
        """Remove lock files of other names without a session: killed processes left them."""
        for path in self.folder.glob(f"*{names.SUFFIX}.lock"):
            name = path.name.removesuffix(f"{names.SUFFIX}.lock")
            if name != current and names.is_name(name) and not self.exists(name):
                self._is_locked(name)  # removes the file if it is not

    def append(self, name: str, turns: Iterable[Turn]) -> bool:
        """Add turns to the file of a session, which must be locked, without reading the others.

        Return False, with the file unchanged, if it does not exist, is damaged at its start or end,
        or has another version.

        Raises:
            OutputError: the file cannot be written; it is unchanged.
        """
        path = self.path(name)
        data = b"".join(msgspec.json.encode(turn) + b"\n" for turn in StoredTurn.make_all(turns))
        try:
            with path.open("r+b") as file:
                head = _decode_line(path, 1, file.readline(), Session)
                size = file.seek(-1, os.SEEK_END) + 1
                if head.version != VERSION or file.read() != b"\n":
                    return False
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    file.truncate(size)
                    raise
        except (FileNotFoundError, _Damaged):
            return False
        except OSError as exc:
            raise OutputError(f"cannot write {path}: {os_error_reason(exc)}") from exc
        return True

    def remove(self, name: str) -> None:
        """Remove a session, and the originals of its repaired files.

        Raises:
            UsageError: it does not exist.
            LockedError: it is open in another process.
            OutputError: its file cannot be removed.
        """
        path = self.find(name)
        with self.lock(name), files.write_errors(str(path)):
            for copy in self._copies(name):
                copy.unlink(missing_ok=True)
            path.unlink()

    def remove_all(self, names: Iterable[str], *, dry_run: bool = False) -> list[str]:
        """Remove sessions if each of them exists and is not open; return their names.

        Raises:
            UsageError, LockedError: one of them cannot be removed; none is.
            OutputError: a file cannot be removed.
        """
        chosen = list(dict.fromkeys(names))
        for name in chosen:
            self.find(name)
        for name in chosen:
            with self.lock(name):
                pass
        for name in () if dry_run else chosen:
            self.remove(name)
        return chosen

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Lock a session against other processes.

        Raises:
            LockedError: another process has it open.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(files.lock(self.path(name), timeout_seconds=0))
            except LockedError:
                raise LockedError(
                    f"session {name!r} is open in another process; close it there or choose "
                    f"another name with {option('session')}"
                ) from None
            try:
                yield
            finally:
                if not self.path(name).exists():  # a session without turns
                    with contextlib.suppress(OSError):
                        Path(f"{self.path(name)}.lock").unlink()

    def latest_in(self, folder: str) -> str | None:
        """Return the most recently saved session of a working directory."""
        for name in self.names():
            with contextlib.suppress(LlmtoolError, OSError):
                if self.load_header(name).folder == folder:
                    return name
        return None

    def load_header(self, name: str) -> Session:
        """Return a session without its turns; reads only the first line.

        Of a damaged line, only the valid fields are returned.

        Raises:
            InputError: its file cannot be read.
        """
        path = self.path(name)
        try:
            with path.open("rb") as file:
                line = file.readline()
        except OSError as exc:
            raise _read_error(path, exc) from exc
        try:
            return _check(path, _decode_line(path, 1, line, Session))
        except _Damaged:
            session, _ = recovery.recover(line, name) or (Session(name=name), 0)
            return msgspec.structs.replace(session, turns=())

    def free_name(self, name: str) -> str:
        """Return a name that no session has: `name`, or `name` with -2, -3, … appended.

        A name that another process has locked counts as used.
        """
        candidate, number = names.truncate(name), 1
        while self.exists(candidate) or self._is_locked(candidate):
            number += 1
            candidate = f"{names.truncate(name, reserve=5)}-{number}"
        return candidate

    def _is_locked(self, name: str) -> bool:
        try:
            with self.lock(name):
                return False
        except LockedError:
            return True
        except OutputError:  # not writable; saving reports it
            return False


def _read_error(path: Path, exc: OSError) -> InputError:
    return InputError(f"cannot read {path}: {os_error_reason(exc)}")


def _decode(path: Path, data: bytes) -> Session:
    first, *lines = data.splitlines() or [b""]
    written = _decode_line(path, 1, first, Session)
    head = _check(path, written)
    kind: type[StoredTurn | TurnV1] = StoredTurn if written.version > 1 else TurnV1
    found = [_decode_line(path, number, line, kind) for number, line in enumerate(lines, 2)]
    turns = list(restore_all(found))
    n_omitted = min(head.n_omitted, len(turns))
    return msgspec.structs.replace(head, turns=tuple(turns), n_omitted=n_omitted)


def _decode_line(path: Path, number: int, line: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        reason = format_json_error(exc) if line.strip() else "empty line"
    what = "not a llmtool session" if number == 1 else "damaged"
    raise _Damaged(f"{path}, line {number}: {what}: {reason}")


def _check(path: Path, session: Session) -> Session:
    """Return a session under the name of its file, which may have been renamed or copied.

    Its version is the current one, in which `save` writes it.
    """
    if session.version > VERSION:
        raise InputError(
            f"{path} was written by a newer llmtool (format {session.version}); upgrade llmtool"
        )
    name = path.name.removesuffix(names.SUFFIX)
    return msgspec.structs.replace(session, name=name, version=VERSION)


def timestamp(now: float | None = None) -> str:
    """Return a time, by default now, in UTC: `2026-11-26T10:40:18Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def describe_skipped(errors: list[str]) -> list[str]:
    """Return one line about the sessions that a listing or search skipped, if any.

    Example:
        >>> describe_skipped(["a.jsonl, line 2: damaged", "b.jsonl, line 1: damaged"])
        ['skipped 2 damaged sessions; the first: a.jsonl, line 2: damaged']
    """
    if len(errors) < 2:
        return [f"skipped: {error}" for error in errors]
    return [f"skipped {len(errors)} damaged sessions; the first: {errors[0]}"]
