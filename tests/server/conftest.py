"""The fixtures `serve`, a server in a thread, and `start`, one in a process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from running_server import Serve, Server, ServerProcess, running

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


@pytest.fixture
def start(start_llmtool: Callable[..., Any], tiny: Path) -> Callable[..., ServerProcess]:
    """Return `start(*options)`, which starts a server on a free port."""

    def start(*options: object, model: Path = tiny) -> ServerProcess:
        arguments = ("serve", "-m", model, "--port", 0, "--threads", 1, *options)
        return ServerProcess(start_llmtool(*map(str, arguments), stdin=subprocess.DEVNULL))

    return start
