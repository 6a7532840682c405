"""Readers of what other programs send: clients and servers, over HTTP and the private socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import msgspec
from fake_batches import answer
from fake_server import Exchange, FakeServer, chunk, fake_server, listed, usage
from running_server import IDENTITY, Server, running

from llmtool.batch.lines import LineSource
from llmtool.batch.request_files import read_requests
from llmtool.batch_jobs import ResultEngine, encode_request
from llmtool.cancellation import Cancellation
from llmtool.engine.openai.capabilities import detect
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.discovery import Discovery
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.engine import RemoteEngine
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.socket import protocol
from llmtool.engine.types import Message, Prompt, Request, Sampling, ScoreRequest, Token
from llmtool.models.hub.listing import read_listing
from llmtool.server.activity import Activity
from llmtool.server.openai.batch_file import answer_requests
from llmtool.server.socket import Served, SocketServer
from llmtool.toolbox import Toolbox

HELLO = Prompt(messages=(Message("user", "Hello there"),))
REQUEST = Request(prompt=HELLO, sampling=Sampling(logprobs=2, max_tokens=20, stop=("END",)), n=2)
SCORES = ScoreRequest(prompt=Prompt(text="It is"), candidates=(" good", " bad"), id=1)
_IDLE_SECONDS = 1.0  # after which a message is incomplete
_END_SECONDS = 30.0

resources = ExitStack()  # servers of this process, which the caller closes


def _box() -> Toolbox:
    engine = ScriptedEngine("Hi there", scores=lambda prompt, text: -float(len(text)))
    return resources.enter_context(Toolbox("tiny", engine=engine, concurrent=True))


@contextmanager
def _thread_errors() -> Iterator[None]:
    """Raise what a thread raises during the block, which only its server would report."""
    found: list[BaseException] = []
    hook = threading.excepthook
    threading.excepthook = lambda args: found.append(args.exc_value or args.exc_type())
    try:
        yield
    finally:
        threading.excepthook = hook
    for each in found:
        raise each


def exchange(sock: socket.socket, data: bytes, idle_seconds: float = _IDLE_SECONDS) -> bytes:
    """Send data and return the response, until the server closes the connection."""
    received = bytearray()

    def receive(seconds: float) -> bool:
        sock.settimeout(seconds)
        while part := sock.recv(1 << 16):
            received.extend(part)
        return True

    try:
        sock.settimeout(_END_SECONDS)
        sock.sendall(data)
        try:
            receive(idle_seconds)
        except TimeoutError:
            sock.shutdown(socket.SHUT_WR)
            receive(_END_SECONDS)
    except (ConnectionError, OSError) as exc:
        assert not isinstance(exc, TimeoutError), "the server does not close the connection"
    return bytes(received)


# Requests over HTTP


@cache
def _server() -> Server:
    return resources.enter_context(running({"tiny": _box()}))


def http(path: str, body: object, method: str = "POST") -> bytes:
    """Return a request without its length, which `send_request` adds."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n{json.dumps(body)}".encode()


def send_request(data: bytes, folder: Path) -> None:
    """Send a request to a server: it answers, but never with an internal error."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if separator and b"content-length" not in head.lower():
        data = head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    address = urlsplit(_server().url)
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port)) as sock, _thread_errors():
        response = exchange(sock, data)
    assert not re.search(rb"^HTTP/1\.1 500 ", response, re.MULTILINE), response


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
REQUESTS = [
    http(
        "/v1/chat/completions",
        {
            "messages": MESSAGES,
            "max_tokens": 5,
            "n": 2,
            "stop": ["x"],
            "temperature": 0.5,
            "logprobs": True,
            "top_logprobs": 2,
            "seed": 1,
        },
    ),
    http("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    http(
        "/v1/chat/completions",
        {
            "messages": MESSAGES,
            "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
        },
    ),
    http("/v1/completions", {"prompt": ["a", "b"], "suffix": "c", "echo": True, "logprobs": 1}),
    http("/v1/responses", {"input": MESSAGES, "instructions": "Be brief.", "stream": True}),
    http("/v1/messages", {"messages": MESSAGES[1:], "max_tokens": 9, "system": "Be brief."}),
    http("/v1/messages/count_tokens", {"messages": MESSAGES[1:]}),
    http("/v1/scores", {"prompt": "Is it", "candidates": [" good", " bad"]}),
    http("/tokenize", {"content": "hello"}),
    http("/detokenize", {"tokens": [1, 2]}),
    http("/apply-template", {"messages": MESSAGES}),
    http("/v1/functions/classify", {"text": "It is good.", "labels": ["sport", "money"]}),
    http("/v1/functions/gen", {"prompt": "hello", "schema": "n int"}),
    http("/v1/functions/translate", {"text": "# Hello", "to": "fr", "format": "md"}),
    http("/v1/models/tiny", {}, "GET"),
    http("/metrics", {}, "GET"),
]


# Requests and results of batch files


def answer_batch(data: bytes, folder: Path) -> None:
    path = folder / "requests.jsonl"
    path.write_bytes(data)

    async def run() -> None:
        box = Toolbox("tiny", engine=ScriptedEngine("Hi there"), concurrent=True)
        async for _ in answer_requests(box, "tiny", read_requests(LineSource(str(path)))):
            pass

    asyncio.run(run())


def read_results(data: bytes, folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_bytes(data)
    for _ in ResultEngine([str(path)], model="tiny", kind="openai").stream([REQUEST]):
        pass


def _batch_requests() -> bytes:
    bodies = [
        ("/v1/chat/completions", {"model": "tiny", "messages": MESSAGES, "max_tokens": 5}),
        ("/v1/completions", {"model": "tiny", "prompt": "Hello", "logprobs": 1}),
    ]
    lines = (
        {"custom_id": str(i), "method": "POST", "url": url, "body": body}
        for i, (url, body) in enumerate(bodies)
    )
    return b"".join(msgspec.json.encode(each) + b"\n" for each in lines)


def _batch_results() -> bytes:
    custom_id, _, body = encode_request(REQUEST, model="tiny", kind="openai")
    result: Any = answer({"custom_id": custom_id, "body": json.loads(body)})
    choices = result["response"]["body"]["choices"]
    choices[0]["logprobs"] = {"content": [_logprob("re")]}
    choices.append({**choices[0], "index": 1})
    failed = {"custom_id": "1-a", "response": {"status_code": 429, "body": {"error": {}}}}
    return msgspec.json.encode(result) + b"\n" + msgspec.json.encode(failed) + b"\n"


def _logprob(token: str) -> dict[str, Any]:
    top = {"token": token, "logprob": -0.5, "bytes": list(token.encode())}
    return {**top, "top_logprobs": [top]}


# Replies of servers


@cache
def _fake() -> FakeServer:
    return resources.enter_context(fake_server())


@contextmanager
def _connection(data: bytes) -> Iterator[Connection]:
    """Connect to a server that answers with these data."""

    def respond(exchange: Exchange) -> None:
        is_stream = data.startswith((b"data:", b":"))
        exchange.send(200, data, kind="text/event-stream" if is_stream else "application/json")

    _fake().script(respond)
    endpoint = Endpoint(name="gpu", base_url=_fake().url)
    connection = Connection(endpoint, concurrency=2, backoff_seconds=0.001)
    with closing(connection):
        yield connection


def receive_reply(data: bytes, folder: Path) -> None:
    """Read a reply, and scores, of a server that answers with these data."""
    stop = Cancellation()
    with _connection(data) as connection, _thread_errors():
        discovery = Discovery(connection.endpoint, "tiny", folder)
        connection.run(discovery.ask(connection), stop.check)
        engine = RemoteEngine(
            connection,
            discovery,
            n_ctx=None,
            cancellation=stop,
            on_note=lambda note: None,
        )
        for _ in (*engine.stream([REQUEST]), *engine.score([SCORES])):
            pass


def receive_models(data: bytes, folder: Path) -> None:
    """Read the list of models, and what else a server says of itself."""

    def respond(exchange: Exchange) -> None:
        exchange.send(200, data)

    fake = _fake()
    models, fake.models = fake.models, respond
    fake.answer = dict.fromkeys(("/api/tags", "/api/show", "/api/ps", "/props", "/slots"), respond)
    try:
        with _connection(data) as connection, _thread_errors():
            server = connection.run(detect(connection, "tiny"), lambda: None)
            server.find(connection.endpoint, "tiny")
    finally:
        fake.models, fake.answer = models, {}


def receive_listing(data: bytes, folder: Path) -> None:
    read_listing(data, "org/model", "https://example.org")


def _stream() -> bytes:
    documents = [
        chunk("Hello", role="assistant"),
        {**chunk("re"), "choices": [_with_logprobs(0), _with_logprobs(1)]},
        chunk(reasoning_content="why"),
        chunk(finish="stop"),
        chunk(index=1, finish="length"),
        usage(),
    ]
    return b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in documents) + (
        b": comment\nevent: x\ndata: [DONE]\n\n"
    )


def _with_logprobs(index: int) -> dict[str, Any]:
    content = [_logprob("re")]
    return {"index": index, "delta": {"content": "re"}, "logprobs": {"content": content}}


def _whole_reply() -> bytes:
    logprobs = {
        "tokens": ["It", " is", " good"],
        "token_logprobs": [None, -0.5, -1.5],
        "top_logprobs": [None, {" is": -0.5}, {" good": -1.5, " bad": -2}],
        "text_offset": [0, 2, 5],
    }
    choice = {"index": 0, "text": "It is good", "logprobs": logprobs, "finish_reason": "length"}
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    return json.dumps({"model": "tiny", "choices": [choice], "usage": usage}).encode()


REPLIES = [_stream(), _whole_reply(), b'{"error": {"message": "no", "code": 500}}']
MODELS = [
    json.dumps(listed("tiny", owner=owner, max_model_len=4096, meta={"n_ctx_train": 512})).encode()
    for owner in ("someone", "llamacpp", "library", "vllm")
] + [b'{"models": [{"name": "tiny", "details": {"context_length": 5}}], "n_ctx": 512}']
LISTING = (
    b'{"id": "org/model", "sha": "0123456789012345678901234567890123456789", "siblings": '
    b'[{"rfilename": "a-Q4_0.gguf", "size": 5, "blobId": "ab", '
    b'"lfs": {"sha256": "cd", "size": 5}}]}'
)


# The private socket


@cache
def _socket_server() -> SocketServer:
    folder = Path(resources.enter_context(TemporaryDirectory()), "sockets")
    models = {"tiny": Served(_box(), IDENTITY)}
    server = SocketServer(folder, models, activity=Activity(), stop=lambda: None)
    resources.callback(server.close)
    return server


def send_messages(data: bytes, folder: Path) -> None:
    """Send messages of a client to the socket of a server."""
    with closing(socket.socket(socket.AF_UNIX)) as sock, _thread_errors():
        sock.connect(str(_socket_server().path))
        exchange(sock, data, idle_seconds=0.05)


def receive_messages(data: bytes, folder: Path) -> None:
    """Receive messages of a server on a socket."""
    events = (protocol.TokenEvent, protocol.FinishedEvent, protocol.ScoresEvent)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        sender = threading.Thread(target=_send_all, args=(theirs, data))
        sender.start()
        channel = protocol.Channel(ours, protocol.ServerMessage)
        try:
            while True:
                message = channel.receive(timeout=_END_SECONDS)
                if isinstance(message, (*events, protocol.FailedEvent)):
                    protocol.to_event(message)
        except (EOFError, protocol.ProtocolError):
            ours.shutdown(socket.SHUT_RDWR)
        sender.join()


def _send_all(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it is closed


def _frames(*messages: msgspec.Struct) -> bytes:
    encoded = (msgspec.msgpack.encode(each) for each in messages)
    return b"".join(struct.pack(">I", len(each)) + each for each in encoded)


CLIENT_MESSAGES = [
    _frames(protocol.Hello(protocol.VERSION, IDENTITY), *rest)
    for rest in (
        (protocol.AskInfo(), protocol.Tokenize(HELLO), protocol.CheckLength(5, None)),
        (protocol.Submit((protocol.to_item(REQUEST, 7), protocol.to_item(SCORES, 8)), True),),
        (protocol.AskStatus(), protocol.AskProgress(), protocol.CancelRequest(7)),
    )
]
_FAILURE = protocol.Error("ContextOverflow", "too long", {"needed": 9, "available": 8})
SERVER_MESSAGES = [
    _frames(
        protocol.Welcome(protocol.VERSION),
        protocol.TokenEvent(Token(7, 0, "Hello")),
        protocol.FailedEvent(7, _FAILURE),
        protocol.EndOfStream(None),
    )
]
BATCH_REQUESTS, BATCH_RESULTS = _batch_requests(), _batch_results()
