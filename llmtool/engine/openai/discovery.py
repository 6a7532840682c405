"""Find what a server supports: by requests, or as another command did minutes ago."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmtool import files
from llmtool.config import Kind
from llmtool.engine.openai.capabilities import ServedModel, ServerInfo, detect
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.known_models import saved_path
from llmtool.errors import LlmtoolError, ModelNotFound, UsageError

LIFE_SECONDS = 300.0
_MAX_BYTES = 1 << 20
_VERSION = 1


class Found(NamedTuple):
    """A server, and the model of it that was chosen."""

    server: ServerInfo
    model: ServedModel


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at `time`, when the endpoint had this URL and kind; `name` was asked for."""

    url: str
    kind: Kind
    name: str
    time: float
    server: ServerInfo
    version: int = _VERSION


class Discovery:
    """Finds the server of an endpoint, and the model `name`.

    What the server says is saved for five minutes, so that commands that follow each other send one
    request each. It has no keys. `is_recalled` is whether `found` was read from there: the server
    may have been replaced, which its answers then contradict.
    """

    def __init__(self, endpoint: Endpoint, name: str, cache: Path) -> None:
        self._endpoint, self._name = endpoint, name
        self._path = saved_path(cache, endpoint.name)
        if not endpoint.is_named:
            digest = hashlib.sha256(endpoint.base_url.encode()).hexdigest()[:16]
            self._path = saved_path(cache, f"url-{digest}")
        self.server: ServerInfo | None = None
        self.found: Found | None = None
        self.is_recalled = False

    def recall(self) -> None:
        """Use what was saved, if it is recent and has the model."""
        saved = _load(self._path)
        if saved is None or not 0 <= time.time() - saved.time < LIFE_SECONDS:
            return
        if (saved.url, saved.kind) != (self._endpoint.base_url, self._endpoint.kind):
            return
        if saved.server.kind == "ollama" and saved.name != self._name:
            return  # it has the context length of one model
        with contextlib.suppress(ModelNotFound, UsageError):
            self.found = Found(saved.server, saved.server.find(self._endpoint, self._name))
            self.server, self.is_recalled = saved.server, True

    async def ask(self, connection: Connection) -> None:
        """Ask the server, and save what it says.

        Raises:
            LlmtoolError: it cannot be reached, or rejects the key; or it does not have the model,
                after `server` was set.
        """
        self.forget()
        self.server = await detect(connection, self._name)
        self._save(self.server)
        self.found = Found(self.server, self.server.find(self._endpoint, self._name))

    def forget(self) -> None:
        """Remove what was saved; the next command asks the server."""
        self.server = self.found = None
        self.is_recalled = False
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def reject(self, field: str) -> None:
        """Save that the model does not support a field of requests."""
        if self.found is None:
            return
        server, model = self.found
        changed = msgspec.structs.replace(model, rejected=(*model.rejected, field))
        models = tuple(
            changed if each.name == model.name else each for each in server.models or (model,)
        )
        self.server = msgspec.structs.replace(server, models=models)
        self.found = Found(self.server, changed)
        self._save(self.server)

    def _save(self, server: ServerInfo) -> None:
        saved = _Saved(
            url=self._endpoint.base_url,
            kind=self._endpoint.kind,
            name=self._name,
            time=time.time(),
            server=server,
        )
        data = msgspec.json.encode(saved)
        with contextlib.suppress(LlmtoolError, OSError):
            if len(data) <= _MAX_BYTES:
                files.write_atomically(self._path, data, is_durable=False)


def _load(path: Path) -> _Saved | None:
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except (OSError, ValueError, RecursionError):
        return None
    return saved if saved.version == _VERSION else None
