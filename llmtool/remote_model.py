"""A model on a server with OpenAI's API."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from llmtool import files
from llmtool.background import acquire
from llmtool.cancellation import Cancellation
from llmtool.config import Folders, Settings
from llmtool.engine.openai.endpoint import RemoteName
from llmtool.engine.types import Adapter, Engine, StreamProgress
from llmtool.errors import LlmtoolError, ModelNotFound, UsageError
from llmtool.forks import call_after_fork
from llmtool.models.hub.callbacks import OnNote, no_note
from llmtool.option_names import option
from llmtool.short_repr import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtool.engine.openai.capabilities import ServerInfo
    from llmtool.engine.openai.connection import Connection
    from llmtool.engine.openai.discovery import Discovery, Found
    from llmtool.engine.openai.engine import RemoteEngine
    from llmtool.structured.constraint import Constraint


class RemoteModel:
    """A model on a server; connects on first use.

    Args:
        n_ctx: the context length to assume if the server does not report it.
        n_parallel: the most requests at once; None uses the setting of the endpoint.
        reproducible: whether to send one request at a time.
        on_note: called with a line about the first use of a server, and about longer waits.
    """

    is_default = False
    adapters: tuple[Adapter, ...] = ()
    has_given_adapters = False

    def __init__(
        self,
        remote: RemoteName,
        *,
        settings: Settings,
        folders: Folders,
        n_ctx: int | None = None,
        n_parallel: int | None = None,
        reproducible: bool = False,
        cancellation: Cancellation,
        on_note: OnNote = no_note,
    ) -> None:
        if reproducible and (n_parallel or 1) > 1:
            raise UsageError(
                f"{option('n_parallel', n_parallel)}: must be 1 for reproducible results"
            )
        self.endpoint, self._name = remote
        self.settings, self.folders = settings, folders
        self._n_ctx = n_ctx or self.endpoint.n_ctx
        self._concurrency = 1 if reproducible else n_parallel or self.endpoint.concurrency
        self.reproducible = reproducible
        self.cancellation, self._on_note = cancellation, on_note
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._given: set[str] = set()  # sampling options of the user
        self._discovery: Discovery | None = None
        self._engine: RemoteEngine | None = None
        call_after_fork(self)

    def after_fork(self) -> None:
        """Connect again in a child, which does not have the parent's thread."""
        self._lock = threading.Lock()
        self._connection = self._engine = None
        self.cancellation.reset()

    def __repr__(self) -> str:
        is_found = self._discovery is not None and self._discovery.found is not None
        state = "connected" if is_found else "not connected"
        name = f"{self.endpoint.name}:{shorten(self._name, 60)}"
        return f"<RemoteModel {name}, {state}>"

    @property
    def name(self) -> str:
        """The server's name of the model.

        Raises:
            ModelNotFound: the server does not have the model.
            ServerError: it cannot be reached.
            UsageError: it rejects the key, or several models could be meant.
        """
        return self._find().model.name

    @property
    def reference(self) -> str:
        """A reference that finds the model; that of a `base_url` needs it again."""
        return f"{self.endpoint.name}:{self.name}"

    @property
    def identity(self) -> str:
        """The name, and a hash of the report of the server on it, which was asked by this process.

        Results are stored under it, so it must not be that of a model that was replaced.
        """
        model = self._find(is_recent=False).model
        about = hashlib.sha256(model.about.encode("utf-8", "replace")).hexdigest()[:16]
        return f"{self.endpoint.name}:{model.name}:{about}"

    def check_options(self, sampling: Mapping[str, Any], constraint: Constraint | None) -> None:
        """Check the options and the constraint on replies that the user gave.

        Raises:
            UsageError: the server does not support one.
        """
        from llmtool.engine.openai.bodies import check_supported

        self._given.update(sampling)
        check_supported(self.endpoint, self._find().server.features, sampling, constraint)

    @property
    def engine(self) -> Engine:
        """The engine, connected on first use; raises as `name`."""
        if self._engine is None:
            self._find()
            from llmtool.engine.openai.engine import RemoteEngine

            with self._lock:
                if self._engine is None:
                    self._report_first_use()
                    self._engine = RemoteEngine(
                        self._connect(),
                        self._discover(),
                        n_ctx=self._n_ctx,
                        cancellation=self.cancellation,
                        given=self._given,
                        on_note=self._on_note,
                    )
        return self._engine

    @property
    def loaded_engine(self) -> Engine | None:
        return self._engine

    @property
    def is_loaded(self) -> bool:
        return True

    @property
    def progress(self) -> StreamProgress:
        return StreamProgress() if self._engine is None else self._engine.progress

    def warm_up(self) -> None:
        """Do nothing: connecting is fast."""

    def close(self) -> None:
        """Close the connections; `engine` opens them again."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()
            elif self._connection is not None:
                self._connection.close()
            self._engine = self._connection = None

    def find_server(self) -> ServerInfo:
        """Return what the server says of itself; raises as `name`, but needs no model."""
        discovery = self._discover()
        try:
            return self._find(is_recent=False).server
        except (ModelNotFound, UsageError):
            if discovery.server is None:
                raise
            return discovery.server

    def _find(self, *, is_recent: bool = True) -> Found:
        """Return what the server says of itself and of the model.

        With `is_recent`, what it said to another command minutes ago will do.
        """
        discovery = self._discover()
        acquire(self._lock, self.cancellation.check)
        try:
            if discovery.found is None and is_recent:
                discovery.recall()
            if discovery.found is None or (discovery.is_recalled and not is_recent):
                connection = self._connect()
                connection.run(discovery.ask(connection), partial(self._check, connection))
                self._check(connection)
            assert discovery.found is not None
            return discovery.found
        finally:
            self._lock.release()

    def _check(self, connection: Connection) -> None:
        """Report waits of the connection, and raise if the call is cancelled."""
        while not connection.notes.empty():
            self._on_note(connection.notes.get())
        self.cancellation.check()

    def _discover(self) -> Discovery:
        if self._discovery is None:
            from llmtool.engine.openai.discovery import Discovery

            self._discovery = Discovery(self.endpoint, self._name, self.folders.cache)
        return self._discovery

    def _connect(self) -> Connection:
        if self._connection is None:
            from llmtool.engine.openai.connection import Connection

            self._connection = Connection(self.endpoint, concurrency=self._concurrency)
        return self._connection

    def _report_first_use(self) -> None:
        """Report where text is sent, once for each endpoint of this machine."""
        endpoint = self.endpoint
        known = self.folders.data / "endpoints"
        line = f"{endpoint.name} {endpoint.base_url}"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if line in known.read_text(encoding="utf-8").splitlines():
                return
        where = "on this machine" if endpoint.is_local else "another machine"
        if not (endpoint.is_local or endpoint.is_encrypted):
            where += ", without encryption"
        self._on_note(f"prompts and texts are sent to {endpoint.base_url} ({where})")
        with contextlib.suppress(LlmtoolError, OSError):
            files.make_folder(known.parent)
            with files.lock(known):
                before = known.read_bytes() if known.exists() else b""
                files.write_atomically(known, before + f"{line}\n".encode())
