"""Listen on a socket and serve until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from llmtool.engine.llama.interrupts import STOP_SIGNALS
from llmtool.errors import Cancelled, UsageError, os_error_reason
from llmtool.option_names import use_format
from llmtool.server.connections import HEAD_SECONDS, MAX_CONNECTIONS, Connections
from llmtool.server.errors import format_field
from llmtool.server.service import Service

_BACKLOG = 2048  # connections that wait to be accepted
_FILES = 2 * MAX_CONNECTIONS  # that the process may open
_STOP_SECONDS = 5.0  # for calls to stop at the end of the grace period
_POLL_SECONDS = 0.1
_SWITCH_SECONDS = 0.0005


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 chooses a free one.

    Raises:
        UsageError: the address is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise UsageError(
            # `create_server` appends the address to the system's reason.
            f"cannot listen on {format_address(host, port)}: "
            f"{os_error_reason(exc).partition(' (while')[0]}; choose another address or port"
        ) from exc
    # asyncio disables Nagle's algorithm only with this protocol. With it, the body of a response,
    # which is sent after its head, waits 40 ms for the client's acknowledgement.
    return socket.socket(family, sock.type, socket.IPPROTO_TCP, fileno=sock.detach())


def format_address(host: str, port: int) -> str:
    """Return an address as in a URL.

    Example:
        >>> format_address("::1", 8080)
        '[::1]:8080'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def make_server(
    app: Starlette, *, grace_seconds: float, connections: Connections | None = None
) -> Server:
    """Return a server for `serve`, or for an event loop that runs."""
    connections = connections or Connections()
    config = uvicorn.Config(
        app,
        http=connections.protocol,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=int(HEAD_SECONDS),
        timeout_graceful_shutdown=int(grace_seconds + _STOP_SECONDS),
        ws="none",
    )
    return Server(config, service=app.state.service, grace_seconds=grace_seconds)


def serve(
    app: Starlette,
    sockets: Iterable[socket.socket],
    *,
    grace_seconds: float,
    on_start: Callable[[Callable[[], None]], object] = lambda stop: None,
) -> None:
    """Serve until a signal, then finish running requests within `grace_seconds`.

    A second signal stops them at once. `on_start` receives a function that has the effect of the
    first signal, for any thread. Neither prompts nor keys are logged.

    Raises:
        Cancelled: requests were stopped.
    """
    for library in (
        "uvicorn",
        "asyncio",
        "mcp",
    ):  # they report what clients send, or that they left
        logging.getLogger(library).setLevel(logging.CRITICAL)
    raise_file_limit()
    # After each system call, the event loop waits this long for the threads that compute.
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = make_server(app, grace_seconds=grace_seconds)

    def stop() -> None:
        server.should_exit = True

    with use_format(format_field):
        on_start(stop)
        server.run(sockets=list(sockets))
    if server.last_signal is not None and server.was_cut_short:
        signal.raise_signal(server.last_signal)
        raise Cancelled("stopped before the end of all replies")


def raise_file_limit() -> None:
    """Let the process open as many files as it may; each connection is one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        limit = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class Server(uvicorn.Server):
    """Stops for SIGINT, SIGTERM and SIGHUP: no new connections, then the end of all calls.

    `was_cut_short` is whether calls were stopped, at the end of the time or by a second signal.
    """

    def __init__(self, config: uvicorn.Config, *, service: Service, grace_seconds: float) -> None:
        super().__init__(config)
        self._service, self._grace_seconds = service, grace_seconds
        self.last_signal: int | None = None
        self.was_cut_short = False
        self._n_signals = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = [each for each in STOP_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        previous = {each: signal.signal(each, self.handle_exit) for each in handled}
        try:
            yield
        finally:
            for each, handler in previous.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.last_signal, self.should_exit = sig, True
        self._n_signals += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end = asyncio.ensure_future(self._end_calls())
        await super().shutdown(sockets)
        end.cancel()

    async def _end_calls(self) -> None:
        """Stop the calls at the end of the time, so that their clients get an error."""
        end = time.monotonic() + self._grace_seconds
        while time.monotonic() < end and self._n_signals < 2:
            await asyncio.sleep(_POLL_SECONDS)
        self.was_cut_short = bool(self._service.stop_calls())
        end = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < end and self._n_signals < 3:
            await asyncio.sleep(_POLL_SECONDS)
        self.force_exit = True
