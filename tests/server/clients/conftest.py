"""A server with a model, and no warnings of clients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import INFINITE
from running_server import Serve, Server


@pytest.fixture
def server(tiny: Path, serve: Serve) -> Server:
    """Return a server with a model."""
    return serve(tiny)


@pytest.fixture
def endless(tiny_model: Callable[..., Path]) -> Path:
    """Return a model whose replies end only at `max_tokens`."""
    return tiny_model("plain", **INFINITE)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A warning of a client, such as of pydantic about an unexpected value, is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # may be of an earlier test
        yield
