"""An `Engine` that runs its requests on a server of the same user."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.intake import AnyRequest, read_available
from llmtool.engine.socket import private
from llmtool.engine.socket.protocol import (
    VERSION,
    AskInfo,
    AskProgress,
    CancelRequest,
    Channel,
    CheckLength,
    ClientMessage,
    EndOfStream,
    EngineIdentity,
    Error,
    Hello,
    Info,
    Item,
    Length,
    Progress,
    ProtocolError,
    ServerMessage,
    Submit,
    Tokenize,
    TokenizedReply,
    Welcome,
    from_error,
    to_event,
    to_item,
)
from llmtool.engine.types import (
    Engine,
    EngineInfo,
    Event,
    Failed,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Token,
    Tokenized,
)
from llmtool.errors import ClosedError, EngineError, invalid_unicode
from llmtool.forks import call_after_fork

M = TypeVar("M")
_MAX_OPEN = 64  # requests that are sent ahead
_HELLO_SECONDS = 5.0
_POLL_SECONDS = 0.05
_IDLE_SECONDS = 0.005
_PROGRESS_SECONDS = 0.2
_GONE = (OSError, EOFError, ProtocolError)


class _Lost(Exception):
    """The server ended, or the connection to it."""


class Connector:
    """Connects to the server at a path, for the engine with an identity.

    Raises:
        PermissionError: the socket or the server is not of this user only.
        OSError, EOFError, ProtocolError: no server of this version listens there.
    """

    def __init__(self, path: Path, identity: EngineIdentity) -> None:
        self.path, self._identity = path, identity
        self.channel, self.welcome = self.connect()

    def connect(self) -> tuple[Channel, Welcome]:
        """Return a connection, and in which way the server's engines differ."""
        channel = Channel(private.connect(self.path), ServerMessage)
        try:
            channel.send(Hello(VERSION, self._identity))
            reply = channel.receive(timeout=_HELLO_SECONDS)
            if not isinstance(reply, Welcome):
                raise ProtocolError("no welcome")
        except BaseException:
            channel.close()
            raise
        return channel, reply


class _Open:
    """A request without its last event."""

    def __init__(self, request: AnyRequest) -> None:
        self.request = request
        self.n_left = request.n if isinstance(request, Request) else 1
        self.has_begun = self.is_cancelled = False


class SocketEngine:
    """Runs requests on the engine of a server, and on another one if that server ends.

    If the server ends while a reply is incomplete, the stream fails with an `EngineError`. Requests
    without a token run again, as all later ones do, on the engine that `fall_back` makes.

    Args:
        server: a connection to a server with the engine that is needed.
        fall_back: makes an engine in this process.
        cancellation: stops the requests.
    """

    def __init__(
        self, server: Connector, *, fall_back: Callable[[], Engine], cancellation: Cancellation
    ) -> None:
        self._server, self._fall_back, self._cancellation = server, fall_back, cancellation
        self._local: Engine | None = None
        self._idle = [server.channel]
        self._lock = threading.Lock()
        self._closed = self._forked = False
        self._progress = StreamProgress()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Refuse to run in a child, which shares the connections."""
        self._forked = True

    def close(self) -> None:
        """Stop what runs in other threads, and close the connections; the server continues."""
        if self._forked:
            return
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for channel in idle:
            channel.close()
        if self._local is not None:
            self._local.close()

    @property
    def info(self) -> EngineInfo:
        """The server's limits; loading the model took no time."""
        reply = self._ask(AskInfo(), Info)
        if reply is None:
            return self._make_local().info
        return msgspec.structs.replace(reply.info, load_seconds=0.0, context_seconds=0.0)

    @property
    def progress(self) -> StreamProgress:
        return self._progress if self._local is None else self._local.progress

    @property
    def reasoning_support(self) -> ReasoningSupport:
        return self._server.welcome.reasoning_support

    def tokenize(self, prompt: Prompt) -> Tokenized:
        try:
            reply = self._ask(Tokenize(prompt), TokenizedReply)
        except UnicodeEncodeError as exc:
            raise invalid_unicode(exc) from exc
        return self._make_local().tokenize(prompt) if reply is None else reply.tokenized

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        reply = self._ask(CheckLength(n_prompt, max_tokens), Length)
        if reply is None:
            return self._make_local().check_length(n_prompt, max_tokens)
        return reply.max_tokens, reply.n_ctx

    def save_state(self, prompt: Prompt) -> None:
        """Do nothing on a server, which caches conversations in memory."""
        if self._local is not None:
            self._local.save_state(prompt)

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of each request; raises as `stream`."""
        return cast("Iterator[Scores | Failed]", self.stream(requests))

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests; see `Engine.stream`.

        Raises:
            Cancelled: the cancellation was set, or a scope of it around this call.
            ClosedError: the engine was closed.
            EngineError: the server ended while a reply was incomplete.
        """
        source = iter(requests)
        if self._local is None:
            running: dict[int, _Open] = {}
            try:
                yield from self._stream(source, running)
                return
            except _Lost as exc:
                self._check()
                if any(each.has_begun for each in running.values()):
                    raise EngineError(
                        f"the server at {self._server.path} ended during the reply; run the "
                        "command again"
                    ) from exc
                source = chain([each.request for each in running.values()], source)
        yield from self._make_local().stream(source)

    def _stream(
        self, source: Iterator[AnyRequest | Failed | None], running: dict[int, _Open]
    ) -> Iterator[Event]:
        """Yield events of the server; `running` has the requests that have not ended."""
        channel, is_complete = self._acquire(), False
        ids, exhausted, asked_at = count(), False, time.monotonic()
        try:
            while not (exhausted and not running):
                self._check()
                if not exhausted:
                    new, failed, exhausted = read_available(source, _MAX_OPEN - len(running))
                    items: list[Item] = []
                    for request, id in zip(new, ids, strict=False):
                        running[id] = _Open(request)
                        try:
                            items.append(to_item(request, id))
                        except UnicodeEncodeError as exc:
                            del running[id]
                            failed.append(Failed(request.id, invalid_unicode(exc)))
                    if items or exhausted:
                        channel.send(Submit(tuple(items), exhausted))
                    yield from failed
                if running:
                    if time.monotonic() - asked_at >= _PROGRESS_SECONDS:
                        channel.send(AskProgress())
                        asked_at = time.monotonic()
                    event = self._receive(channel, running)
                    if event is not None:
                        yield event
                elif not exhausted:
                    time.sleep(_IDLE_SECONDS)  # the source has no request yet
            with contextlib.suppress(*_GONE):
                while not is_complete:
                    is_complete = isinstance(channel.receive(timeout=_POLL_SECONDS), EndOfStream)
        except (*_GONE, OverflowError) as exc:  # a number of more than 64 bits
            raise _Lost from exc
        finally:
            if is_complete:
                self._release(channel)
            else:
                channel.close()

    def _receive(self, channel: Channel, running: dict[int, _Open]) -> Event | None:
        """Return the next event, or None after a short time without one."""
        for id, each in running.items():
            stop = each.request.cancellation
            if stop is not None and stop.cancelled and not each.is_cancelled:
                each.is_cancelled = True
                channel.send(CancelRequest(id))
        try:
            message = channel.receive(timeout=_POLL_SECONDS)
        except TimeoutError:
            return None
        if isinstance(message, Progress):
            for name in StreamProgress.__struct_fields__:
                setattr(self._progress, name, getattr(message.progress, name))
            return None
        if isinstance(message, EndOfStream):
            if message.error is None:
                raise ProtocolError("the stream ended early")
            raise from_error(message.error)
        event = to_event(message)
        request = running[event.id]
        request.has_begun = True
        request.n_left -= not isinstance(event, Token)
        if isinstance(event, Failed) or not request.n_left:
            del running[event.id]
        return msgspec.structs.replace(event, id=request.request.id)

    def _ask(self, message: ClientMessage, kind: type[M]) -> M | None:
        """Return the reply to a message, or None if the server has ended.

        Raises:
            LlmtoolError: an error of the engine.
            UnicodeEncodeError: a text of the message is not valid Unicode.
        """
        if self._local is not None:
            return None
        self._check()
        try:
            channel = self._acquire()
        except _Lost:
            return None
        is_complete = False
        try:
            channel.send(message)
            while True:
                with contextlib.suppress(TimeoutError):
                    reply = channel.receive(timeout=_POLL_SECONDS)
                    break
                self._check()
            is_complete = isinstance(reply, (kind, Error))
        except (*_GONE, OverflowError):
            return None
        finally:
            if is_complete:
                self._release(channel)
            else:
                channel.close()
        if isinstance(reply, Error):
            raise from_error(reply)
        return reply if isinstance(reply, kind) else None

    def _acquire(self) -> Channel:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            channel, welcome = self._server.connect()
        except _GONE as exc:
            raise _Lost from exc
        if welcome.differs:
            channel.close()
            raise _Lost
        return channel

    def _release(self, channel: Channel) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(channel)
                return
        channel.close()

    def _make_local(self) -> Engine:
        with self._lock:
            self._local = self._local or self._fall_back()
            return self._local

    def _check(self) -> None:
        if self._forked:
            raise EngineError(
                "the reply was started before this process was forked from its parent; start it "
                "again in this process"
            )
        if self._closed:
            raise ClosedError("the model was closed; create a new Toolbox")
        self._cancellation.check()
