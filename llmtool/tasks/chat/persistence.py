"""Holds the session of a conversation, in the memory and on disk."""

from __future__ import annotations

import os
from contextlib import ExitStack

from llmtool.errors import OutputError, UsageError
from llmtool.sessions.store import Sessions, new_name, timestamp
from llmtool.sessions.types import Session


class Keeper:
    """The present session, which no other process writes meanwhile.

    `unsaved` says why the last change is not on disk; the conversation goes on without it.

    Raises:
        LockedError: another process has the session open.
        InputError: its file is damaged.
    """

    def __init__(self, store: Sessions | None, session: Session | str | None) -> None:
        self.store = store
        self.unsaved: str | None = None
        self._held = ExitStack()
        if session is None:
            name = self.free_name()
        else:
            name = session.name if isinstance(session, Session) else session
        if store is not None:
            self._held.enter_context(store.hold(name))
        try:
            if isinstance(session, Session):
                self.session = session
            elif store is not None and store.exists(name):
                self.session = store.load(name)
            else:
                self.session = Session(name=name, folder=os.getcwd(), created_at=timestamp())
        except BaseException:
            self.close()
            raise

    def free_name(self, wanted: str | None = None) -> str:
        """Return a name that no session has; None makes one of the time."""
        wanted = wanted or new_name()
        return wanted if self.store is None else self.store.free_name(wanted)

    def keep(self, session: Session) -> None:
        """Make a session the present one and write it down, once there is something in it."""
        self.session, self.unsaved = session, None
        if self.store is None or not (session.turns or self.store.exists(session.name)):
            return
        try:
            self.store.save(session)
        except OutputError as exc:
            self.unsaved = str(exc)

    def find(self, name: str) -> Session:
        """Return another session that is kept.

        Raises:
            UsageError: there is none of this name.
        """
        if self.store is None:
            raise UsageError("sessions are not kept here")
        return self.store.load(name)

    def move(self, session: Session, *, is_new: bool) -> None:
        """Let the present session go and take another one.

        Raises:
            UsageError: it is to be new, and there is one of this name.
            LockedError: another process has it open.
        """
        if session.name != self.session.name and self.store is not None:
            if is_new and self.store.exists(session.name):
                raise UsageError(f"there is a session {session.name!r} already")
            held = ExitStack()
            held.enter_context(self.store.hold(session.name))
            self.close()
            self._held = held
        if is_new:
            self.keep(session)
        else:
            self.session = session

    def close(self) -> None:
        self._held.close()
