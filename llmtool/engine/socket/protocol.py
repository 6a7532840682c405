"""Messages between a command and the server whose engine it uses, and their frames.

A frame is the length of a message in 4 bytes, then the message as MessagePack. Both ends have the
same version, so requests and events are the engine's own records. A connection runs one stream at a
time: `Submit` starts it, further ones add requests, and the last one has `is_last`. Closing the
connection stops its requests.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from functools import cache
from typing import Any

import msgspec

from llmtool import errors
from llmtool._version import __version__
from llmtool.engine.types import (
    Adapter,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Token,
    Tokenized,
)
from llmtool.errors import LlmtoolError

VERSION = f"{__version__}/2"  # raise the number when messages or their meaning change
MAX_FRAME_BYTES = 256 << 20
_LENGTH = struct.Struct(">I")
_READ_BYTES = 1 << 16


class ProtocolError(Exception):
    """The other end sent something that is not a message."""


class EngineIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What the results of an engine depend on.

    `weights` is a hash of samples of the model's files, `options` a hash of its LoRA adapters, its
    chat template and the template's variables.
    """

    weights: str
    n_ctx: int | None
    n_threads: int | None
    n_gpu_layers: str
    n_parallel: int | None
    reproducible: bool
    kv_type: str
    prefix_cache: bool
    draft: str
    options: str

    def differences(self, other: EngineIdentity) -> list[str]:
        """Return the names of the fields that differ.

        Example:
            >>> import msgspec
            >>> one = EngineIdentity(
            ...     weights="a", n_ctx=None, n_threads=2, n_gpu_layers="auto", n_parallel=None,
            ...     reproducible=False, kv_type="f16", prefix_cache=True, draft="auto",
            ...     options="")
            >>> one.differences(msgspec.structs.replace(one, weights="b", n_ctx=512))
            ['weights', 'n_ctx']
        """
        names = self.__struct_fields__
        return [name for name in names if getattr(self, name) != getattr(other, name)]


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """A message; a subclass has a tag of its own."""


# Messages of the client:


class Hello(_Message, frozen=True, tag=0):
    """The first message: the version, and the engine that the client needs."""

    version: str
    identity: EngineIdentity


class AskInfo(_Message, frozen=True, tag=1):
    pass


class Tokenize(_Message, frozen=True, tag=2):
    prompt: Prompt


class CheckLength(_Message, frozen=True, tag=3):
    n_prompt: int
    max_tokens: int | None


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A request of either type, which a `CancelRequest` may follow if `is_cancellable`."""

    generate: Request | None = None
    score: ScoreRequest | None = None
    is_cancellable: bool = False

    @property
    def request(self) -> Request | ScoreRequest:
        request = self.generate or self.score
        if request is None:
            raise ProtocolError("a request is missing")
        return request


class Submit(_Message, frozen=True, tag=4):
    """Requests, which run together; `is_last` if no others follow in this stream."""

    items: tuple[Item, ...]
    is_last: bool


class CancelRequest(_Message, frozen=True, tag=5):
    id: int


class AskProgress(_Message, frozen=True, tag=8):
    pass


class AskStatus(_Message, frozen=True, tag=6):
    pass


class Stop(_Message, frozen=True, tag=7):
    """End the server, after the running requests."""


# Messages of the server:


class Welcome(_Message, frozen=True, tag=20):
    """The reply to `Hello`: the engine, or in which way the server's engines differ from it."""

    version: str
    differs: tuple[str, ...] = ()
    reasoning_support: ReasoningSupport = ReasoningSupport()
    warning: str = ""


class Info(_Message, frozen=True, tag=21):
    info: EngineInfo


class TokenizedReply(_Message, frozen=True, tag=22):
    tokenized: Tokenized


class Length(_Message, frozen=True, tag=23):
    max_tokens: int
    n_ctx: int


class Error(_Message, frozen=True, tag=24):
    """An error of the engine: a class of `llmtool.errors`, its message and its other fields."""

    kind: str
    message: str
    fields: dict[str, float | str | None] = {}


class TokenEvent(_Message, frozen=True, tag=25):
    event: Token


class FinishedEvent(_Message, frozen=True, tag=26):
    event: Finished


class ScoresEvent(_Message, frozen=True, tag=27):
    event: Scores


class FailedEvent(_Message, frozen=True, tag=28):
    id: int
    error: Error


class Progress(_Message, frozen=True, tag=29):
    progress: StreamProgress


class EndOfStream(_Message, frozen=True, tag=30):
    """All requests have ended; `error` ended the stream itself."""

    error: Error | None = None


class Status(_Message, frozen=True, tag=31):
    """What a server is and does. Times are in seconds, `started_at` since 1970."""

    version: str
    pid: int
    address: str | None
    models: tuple[str, ...]
    memory_bytes: int | None
    started_at: float
    idle_seconds: float
    idle_limit_seconds: float | None


ClientMessage = (
    Hello
    | AskInfo
    | Tokenize
    | CheckLength
    | Submit
    | CancelRequest
    | AskProgress
    | AskStatus
    | Stop
)
ServerMessage = (
    Welcome | Info | TokenizedReply | Length | Error | TokenEvent | FinishedEvent | ScoresEvent
    | FailedEvent | Progress | EndOfStream | Status
)  # fmt: skip
_ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LlmtoolError)
}
_encoder = msgspec.msgpack.Encoder()


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


class Channel:
    """Sends and receives messages on a connected socket; two threads may do one each.

    Args:
        receives: the type of the messages of the other end.
    """

    def __init__(self, sock: socket.socket, receives: Any) -> None:
        self._socket = sock
        self._decode = _decoder(receives).decode
        self._buffer = bytearray()

    def send(self, message: ClientMessage | ServerMessage) -> None:
        """Send a message.

        Raises:
            OSError: the connection is closed.
            UnicodeEncodeError: a text is not valid Unicode; nothing was sent.
        """
        data = _encoder.encode(message)
        if self._socket.gettimeout() is not None:
            self._socket.settimeout(None)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, *, timeout: float | None = None) -> Any:
        """Wait for a message and return it.

        Raises:
            EOFError: the other end closed the connection.
            TimeoutError: none arrived within `timeout` seconds; a later call continues.
            OSError: the connection failed.
            ProtocolError: this is not a message.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                (n,) = _LENGTH.unpack_from(self._buffer)
                if n > MAX_FRAME_BYTES:
                    raise ProtocolError(f"a message of {n} bytes")
                end = _LENGTH.size + n
                if len(self._buffer) >= end:
                    data = bytes(self._buffer[_LENGTH.size : end])
                    del self._buffer[:end]
                    try:
                        return self._decode(data)
                    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
                        raise ProtocolError(str(exc)) from exc
            if self._socket.gettimeout() != timeout:
                self._socket.settimeout(timeout)
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise EOFError
            self._buffer += data

    def end(self) -> None:
        """Close the connection while another thread uses it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def to_item(request: Request | ScoreRequest, id: int) -> Item:
    """Return a request as `Submit` has it, with another id; its cancellation stays here.

    Raises:
        UnicodeEncodeError: a text is not valid Unicode.
        OverflowError: a number has more than 64 bits.
    """
    prompt, is_cancellable = request.prompt, request.cancellation is not None
    if prompt.adapters:  # the server has another working directory
        adapters = tuple(
            Adapter(os.path.abspath(each.path), each.scale) for each in prompt.adapters
        )
        prompt = msgspec.structs.replace(prompt, adapters=adapters)
    request = msgspec.structs.replace(request, id=id, prompt=prompt, cancellation=None)
    if isinstance(request, Request):
        item = Item(generate=request, is_cancellable=is_cancellable)
    else:
        item = Item(score=request, is_cancellable=is_cancellable)
    _encoder.encode(item)
    return item


def to_message(event: Event) -> ServerMessage:
    """Return the message of an event; `to_event` is its inverse."""
    if isinstance(event, Token):
        return TokenEvent(event)
    if isinstance(event, Finished):
        return FinishedEvent(event)
    if isinstance(event, Scores):
        return ScoresEvent(event)
    return FailedEvent(event.id, to_error(event.error))


def to_event(message: TokenEvent | FinishedEvent | ScoresEvent | FailedEvent) -> Event:
    if isinstance(message, FailedEvent):
        return Failed(message.id, from_error(message.error))
    return message.event


def to_error(exc: BaseException) -> Error:
    """Return the message of an error; one that is not ours becomes an `EngineError`.

    Example:
        >>> from llmtool.errors import ContextOverflow
        >>> error = to_error(ContextOverflow("too long", needed=9, available=8))
        >>> error.kind, error.fields, str(from_error(error))
        ('ContextOverflow', {'needed': 9, 'available': 8}, 'too long')
    """
    if not isinstance(exc, LlmtoolError) or type(exc).__name__ not in _ERRORS:
        reason = " ".join(str(exc).split())
        return Error("EngineError", f"the server failed: {type(exc).__name__}: {reason}")
    fields = {
        name: value
        for name, value in vars(exc).items()
        if value is None or isinstance(value, (int, float, str))
    }
    return Error(type(exc).__name__, str(exc.args[0]) if exc.args else "", fields)


def from_error(error: Error) -> LlmtoolError:
    """Return the error of a message."""
    kind = _ERRORS.get(error.kind, errors.EngineError)
    exc = kind.__new__(kind, error.message)
    exc.args = (error.message,)
    exc.__dict__.update(error.fields)
    return exc
