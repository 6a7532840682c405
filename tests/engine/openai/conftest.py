"""The fixtures `fake`, a server whose responses a test writes, and `connect`, an engine for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, fake_server

from llmtool.cancellation import Cancellation
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.discovery import Discovery
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.engine import RemoteEngine

Connect = Callable[..., RemoteEngine]


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Return `connect(url, model, **fields of the endpoint)`, which retries without waiting."""
    with ExitStack() as stack:

        def make(url: str, model: str = "tiny", **fields: Any) -> RemoteEngine:
            notes: list[str] = fields.pop("notes", [])
            cancellation = fields.pop("cancellation", None) or Cancellation()
            endpoint = Endpoint(name="gpu", base_url=url, **fields)
            connection = Connection(
                endpoint, concurrency=endpoint.concurrency, backoff_seconds=0.01
            )
            stack.callback(connection.close)
            discovery = Discovery(endpoint, model, tmp_path)
            connection.run(discovery.ask(connection), cancellation.check)
            return RemoteEngine(
                connection,
                discovery,
                n_ctx=endpoint.n_ctx,
                cancellation=cancellation,
                on_note=notes.append,
            )

        yield make
