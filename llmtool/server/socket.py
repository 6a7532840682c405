"""Serve the engines of the models to commands of the same user, over a private socket."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmtool.cancellation import Cancellation, CancelScope
from llmtool.engine.socket import private
from llmtool.engine.socket.protocol import (
    VERSION,
    AskInfo,
    AskProgress,
    AskStatus,
    CancelRequest,
    Channel,
    CheckLength,
    ClientMessage,
    EndOfStream,
    EngineIdentity,
    Hello,
    Info,
    Length,
    Progress,
    ProtocolError,
    ServerMessage,
    Status,
    Stop,
    Submit,
    Tokenize,
    TokenizedReply,
    Welcome,
    to_error,
    to_message,
)
from llmtool.engine.types import Engine, Event, Failed, Request, ScoreRequest, Token
from llmtool.errors import LlmtoolError
from llmtool.machine import resident_bytes
from llmtool.option_names import defer_names
from llmtool.server.activity import Activity
from llmtool.toolbox import Toolbox

_POLL_SECONDS = 0.02


class Served(msgspec.Struct, frozen=True):
    """A model that commands may use: its toolbox, and what its results depend on."""

    box: Toolbox
    identity: EngineIdentity


class SocketServer:
    """Accepts connections in threads until `close`.

    Args:
        folder: the folder of the sockets, created if it is missing.
        models: the models by name.
        activity: counts the requests.
        address: the server's URL, for `llmtool ps`.
        idle_limit_seconds: the time without a request after which the server ends.
        stop: ends the server.

    Raises:
        UsageError: the folder is not private.
    """

    def __init__(
        self,
        folder: Path,
        models: Mapping[str, Served],
        *,
        activity: Activity,
        address: str | None = None,
        idle_limit_seconds: float | None = None,
        stop: Callable[[], object],
    ) -> None:
        name = f"{os.getpid()}.sock"
        self.path = folder / name
        self._models, self._activity, self._stop = models, activity, stop
        self._address, self._idle_limit_seconds = address, idle_limit_seconds
        self._started_at = time.time()
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self.is_closing = False
        self._socket = private.listen(folder, name)
        threading.Thread(target=self._accept, name="llmtool-socket", daemon=True).start()

    def close(self, *, grace_seconds: float = 0.0) -> None:
        """Accept no requests, let the running ones end within `grace_seconds`, then stop them."""
        with self._lock:
            self.is_closing = True
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        end = time.monotonic() + grace_seconds
        while self._streams() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            each.end()
        for each in connections:
            each.thread.join()
        with contextlib.suppress(OSError):  # commands look for the folder first
            self.path.parent.rmdir()

    def _streams(self) -> int:
        with self._lock:
            return sum(each.is_streaming for each in self._connections)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                if self.is_closing:
                    return
                time.sleep(_POLL_SECONDS)  # no descriptor is free
                continue
            if not private.is_own_peer(sock):
                sock.close()
                continue
            connection = _Connection(self, Channel(sock, ClientMessage))
            with self._lock:
                if self.is_closing:
                    sock.close()
                    return
                self._connections.add(connection)
            connection.thread.start()

    def forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def find(self, hello: Hello) -> tuple[Served | None, list[str]]:
        """Return the model that a client needs, or in which way the most similar one differs."""
        if hello.version != VERSION:
            return None, ["version"]
        found = [
            (each.identity.differences(hello.identity), each) for each in self._models.values()
        ]
        differs, served = min(found, key=lambda each: len(each[0]))
        return None if differs else served, differs

    def status(self) -> Status:
        return Status(
            version=VERSION,
            pid=os.getpid(),
            address=self._address,
            models=tuple(self._models),
            memory_bytes=resident_bytes(),
            started_at=self._started_at,
            idle_seconds=self._activity.idle_seconds,
            idle_limit_seconds=self._idle_limit_seconds,
        )

    def stop(self) -> None:
        self._stop()

    @property
    def activity(self) -> Activity:
        return self._activity


class _Connection:
    """One client: a thread receives its messages, and another one runs its stream."""

    def __init__(self, server: SocketServer, channel: Channel) -> None:
        self._server, self._channel = server, channel
        self._send_lock = threading.Lock()
        self._served: Served | None = None
        self._stream: _Stream | None = None
        self.thread = threading.Thread(target=self._run, name="llmtool-client", daemon=True)

    @property
    def is_streaming(self) -> bool:
        return self._stream is not None and self._stream.thread.is_alive()

    def end(self) -> None:
        """Close the connection, and so stop its requests."""
        if self._stream is not None:
            self._stream.cancel()
        self._channel.end()

    def send(self, message: ServerMessage) -> None:
        with self._send_lock:
            self._channel.send(message)

    def _run(self) -> None:
        try:
            while True:
                self._handle(self._channel.receive())
        except (OSError, EOFError, ProtocolError, LlmtoolError):
            pass
        finally:
            if self._stream is not None:
                self._stream.cancel()
                self._channel.end()
                self._stream.thread.join()
            self._channel.close()
            self._server.forget(self)

    def _handle(self, message: Any) -> None:
        if isinstance(message, AskStatus):
            self.send(self._server.status())
        elif isinstance(message, Stop):
            self._server.stop()
        elif isinstance(message, Hello):
            self._served, differs = self._server.find(message)
            self.send(self._welcome(differs))
        elif self._served is None:
            raise ProtocolError("no engine")
        elif isinstance(message, Submit):
            self._submit(message, self._served)
        elif isinstance(message, CancelRequest):
            if self._stream is not None:
                self._stream.cancel_request(message.id)
        else:
            with defer_names():
                self.send(_answer(self._served.box.engine, message))

    def _welcome(self, differs: list[str]) -> Welcome:
        if self._served is None:
            return Welcome(VERSION, tuple(differs))
        return Welcome(VERSION, reasoning_support=self._served.box.engine.reasoning_support)

    def _submit(self, message: Submit, served: Served) -> None:
        if self._stream is None or self._stream.is_complete:
            if self._server.is_closing:
                raise ProtocolError("closing")
            self._stream = _Stream(served.box, self.send, self._server.activity)
            self._stream.add(message)
            self._stream.thread.start()
        else:
            self._stream.add(message)


def _answer(engine: Engine, message: object) -> ServerMessage:
    """Return the reply to a message that needs no stream."""
    try:
        if isinstance(message, AskInfo):
            return Info(engine.info)
        if isinstance(message, AskProgress):
            return Progress(engine.progress)
        if isinstance(message, Tokenize):
            return TokenizedReply(engine.tokenize(message.prompt))
        if isinstance(message, CheckLength):
            return Length(*engine.check_length(message.n_prompt, message.max_tokens))
    except LlmtoolError as exc:
        return to_error(exc)
    raise ProtocolError(f"unexpected {type(message).__name__}")


class _Stream:
    """Runs the requests of a connection, and sends their events."""

    def __init__(
        self, box: Toolbox, send: Callable[[ServerMessage], object], activity: Activity
    ) -> None:
        self._box, self._send, self._activity = box, send, activity
        self._submitted: queue.SimpleQueue[Submit] = queue.SimpleQueue()
        self._scope: CancelScope = box.cancellation.scope()
        self._cancellations: dict[int, Cancellation] = {}
        self._n_left: dict[int, int] = {}  # choices without their last event, by request
        self.is_complete = False
        self.thread = threading.Thread(target=self._run, name="llmtool-stream", daemon=True)

    def add(self, message: Submit) -> None:
        self._submitted.put(message)

    def cancel(self) -> None:
        self._scope.cancel()

    def cancel_request(self, id: int) -> None:
        if id in self._cancellations:
            self._cancellations[id].cancel()

    def _run(self) -> None:
        error: BaseException | None = None
        with self._activity, contextlib.suppress(_Gone):
            try:
                with self._scope, contextlib.closing(self._events()) as events:
                    for event in events:
                        self._deliver(to_message(event))
                        self._count(event)
            except _Gone:
                raise
            except BaseException as exc:
                if self._scope.cancelled:
                    return
                error = exc
            self.is_complete = True
            self._deliver(EndOfStream(None if error is None else to_error(error)))

    def _events(self) -> Generator[Event, None, None]:
        yield from self._box.engine.stream(self._requests())

    def _deliver(self, message: ServerMessage) -> None:
        try:
            self._send(message)
        except OSError as exc:
            raise _Gone from exc

    def _count(self, event: Event) -> None:
        if isinstance(event, Token):
            return
        self._n_left[event.id] -= 1
        if isinstance(event, Failed) or not self._n_left[event.id]:
            del self._n_left[event.id]
            self._cancellations.pop(event.id, None)

    def _requests(self) -> Iterator[Request | ScoreRequest | None]:
        while True:
            try:
                message = self._submitted.get(not self._n_left, _POLL_SECONDS)
            except queue.Empty:
                yield None
                continue
            for item in message.items:
                request = item.request
                self._n_left[request.id] = request.n if isinstance(request, Request) else 1
                if item.is_cancellable:
                    self._cancellations[request.id] = stop = Cancellation()
                    request = msgspec.structs.replace(request, cancellation=stop)
                yield request
            if message.is_last:
                return


class _Gone(Exception):
    """The client has closed the connection."""
