"""The session of a chat, in memory and on disk."""

from __future__ import annotations

import os
from contextlib import ExitStack

from llmtool.errors import InputError, OutputError, UsageError
from llmtool.forks import call_after_fork
from llmtool.sessions.names import new_name
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Session


class SessionHandle:
    """The current session, saved to `store` and locked against other processes.

    Without a store, the session is only in memory. `save_error` is the reason why the last change
    was not saved; `repair_report` describes the damage if the file was repaired when it was opened.

    Raises:
        LockedError: another process has the session open.
        InputError: the session file cannot be read.
    """

    def __init__(self, store: Sessions | None, session: Session | str | None) -> None:
        self.store = store
        self.save_error: str | None = None
        self.repair_report: str | None = None
        self._lock = ExitStack()
        self._locked_name: str | None = None
        self._why_unlocked = ""
        call_after_fork(self)
        if isinstance(session, Session):
            name = session.name
        else:
            name = self.free_name() if session is None else session
        if store is not None:
            self._acquire(store, name)
        try:
            if isinstance(session, Session):
                self.session = session
            elif store is not None and store.exists(name):
                self.session, self.repair_report = store.repair(name)
            else:
                self.session = Session(name=name, folder=os.getcwd(), created_at=timestamp())
        except BaseException:
            self.close()
            raise

    def after_fork(self) -> None:
        """Leave the file to the parent process, which has the lock."""
        self._why_unlocked = "another process has the session {name!r} open"
        self._parents_lock, self._lock = self._lock, ExitStack()

    def free_name(self, wanted: str | None = None) -> str:
        """Return an unused session name like `wanted`, by default the current time."""
        wanted = wanted or new_name()
        return wanted if self.store is None else self.store.free_name(wanted)

    def update(self, session: Session) -> None:
        """Replace the session, and save it unless it is new and has no turns."""
        self.session, self.save_error = session, None
        if self.store is None or not (session.turns or self.store.exists(session.name)):
            return
        if self._why_unlocked:
            self.save_error = self._why_unlocked.format(name=session.name)
            return
        try:
            self.store.save(session)
        except (InputError, OutputError) as exc:
            self.save_error = str(exc)

    def start(self, session: Session, *, store: Sessions | None = None) -> None:
        """Continue with a new session, saved to `store` if the session had none.

        Raises:
            UsageError: a session of this name exists.
            LockedError: another process has a session of this name open.
        """
        store = self.store or store
        if store is not None and session.name != self._locked_name:
            if store.exists(session.name):
                raise UsageError(f"session {session.name!r} already exists; choose another name")
            self._acquire(store, session.name)
        self.store = store
        self.update(session)

    def open(self, session: Session) -> str | None:
        """Continue with a session of the store; return a report if its file was repaired.

        Raises:
            LockedError: another process has the session open.
        """
        report = None
        if self.store is not None:
            self._acquire(self.store, session.name)
            session, report = self.store.repair(session.name)
        self.session, self.save_error = session, None
        return report

    def _acquire(self, store: Sessions, name: str) -> None:
        """Lock a session, then release the current one."""
        lock = ExitStack()
        lock.enter_context(store.lock(name))
        self.close()
        self._lock, self._locked_name, self._why_unlocked = lock, name, ""

    def close(self) -> None:
        """Release the lock; later changes are not saved."""
        self._lock.close()
        self._why_unlocked = "the session {name!r} is closed; open it again"
