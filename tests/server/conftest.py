"""The fixture `serve`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from running_server import Serve, Server, running

from llmtool.toolbox import Toolbox


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return `start(engine or model, **options)`, which returns a running server."""
    with ExitStack() as stack:

        def start(model: Any, *, name: str = "tiny", **options: Any) -> Server:
            if hasattr(model, "stream"):
                box = Toolbox(name, engine=model, concurrent=True)
            else:
                box = Toolbox(model, concurrent=True, n_threads=1, prefix_cache=False)
            return stack.enter_context(running({name: box}, **options))

        yield start
