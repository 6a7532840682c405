"""Listen on a socket and serve until a signal."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import uvicorn
from starlette.applications import Starlette

from llmtool.errors import UsageError, os_error_reason
from llmtool.option_names import show_value, use_format

_BACKLOG = 2048  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 chooses a free one.

    Raises:
        UsageError: the address is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise UsageError(
            f"cannot listen on {format_address(host, port)}: {os_error_reason(exc)}; "
            "choose another address or port"
        ) from exc


def format_address(host: str, port: int) -> str:
    """Return an address as in a URL.

    Example:
        >>> format_address("::1", 8080)
        '[::1]:8080'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(
    app: Starlette,
    sockets: Iterable[socket.socket],
    *,
    grace_seconds: float,
    on_start: Callable[[Callable[[], None]], object] = lambda stop: None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish running requests within `grace_seconds`.

    `on_start` receives a function that ends it in the same way, for any thread. Neither prompts nor
    keys are logged.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=int(grace_seconds),
        ws="none",
    )
    with use_format(format_field):
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        on_start(stop)
        server.run(sockets=list(sockets))


def format_field(name: str, value: tuple[object, ...]) -> str:
    """Return how a message names a field of a body.

    Example:
        >>> format_field("top_p", ()), format_field("top_p", (2,))
        ('top_p', 'top_p 2')
    """
    return " ".join([name, *map(show_value, value)])
