"""Connections of clients: how many there are, and how long they may wait and read slowly."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from llmtool.server.errors import RequestError, error_document

HEAD_SECONDS = 30.0  # until the headers of a request are complete
WRITE_SECONDS = 30.0  # until a client has read what waits to be sent
LINGER_SECONDS = 2.0  # for the rest of a body that nobody reads
MAX_CONNECTIONS = 1000


class Connections:
    """The open connections; one above the limit replaces the one that has waited longest.

    `max_connections` connections may be open. One that waits for a request for `head_seconds` is
    closed, and so is one that does not read a response for `write_seconds`.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self.head_seconds, self.write_seconds = head_seconds, write_seconds
        self._max_connections = max_connections
        self._waiting: dict[Connection, None] = {}  # for a request, oldest first

    def protocol(self, **options: Any) -> Connection:
        """Return the protocol of a new connection; `options` are uvicorn's."""
        return Connection(self, **options)

    def admit(self, connection: Connection, n_open: int) -> bool:
        """Return whether a connection may be open, beside others that are."""
        if n_open > self._max_connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            oldest.abort()
        self._waiting[connection] = None
        return True

    def start_waiting(self, connection: Connection) -> None:
        self._waiting[connection] = None

    def stop_waiting(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)


class Connection(H11Protocol):
    """A connection with time limits, and errors in the format of the API."""

    def __init__(self, limits: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._request_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        """Close the connection at once, without sending what waits to be sent."""
        self._stop_timers()
        self.transport.abort()

    def _reset(self) -> None:
        """Close the connection, and let the system discard what it has not sent."""
        on_for_no_seconds = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on_for_no_seconds)
        self.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._limits.admit(self, len(self.connections)):
            self._await_request(self._limits.head_seconds)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        is_body_complete = self.conn.their_state is not h11.SEND_BODY
        self._await_request(self._limits.head_seconds if is_body_complete else LINGER_SECONDS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self._reset)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def send_400_response(self, msg: str) -> None:
        """Report a request that is not HTTP."""
        if self.conn.our_state is not h11.IDLE:  # a response has begun
            self.abort()
            return
        error = RequestError("the request is not valid HTTP/1.1, or its headers are too long")
        body = msgspec.json.encode(error_document(error))
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_request(self, seconds: float) -> None:
        self._stop_waiting()
        self._limits.start_waiting(self)
        self._request_timer = self.loop.call_later(seconds, self.abort)

    def _stop_waiting(self) -> None:
        self._limits.stop_waiting(self)
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _stop_timers(self) -> None:
        self._stop_waiting()
        self._stop_write_timer()
