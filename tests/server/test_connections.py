"""Connections that are slow, incomplete, endless, idle or not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse

import pytest
from running_server import Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import UsageError
from llmtool.server import bodies
from llmtool.server.bodies import MAX_BODY
from llmtool.server.connections import Connections
from llmtool.server.run import listen

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
Connect = Callable[[], socket.socket]


@pytest.fixture
def server(serve: Serve) -> Server:
    limits = Connections(max_connections=50, head_seconds=1, write_seconds=1)
    return serve(ScriptedEngine("word " * 100_000), connections=limits)


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:

        def connect() -> socket.socket:
            made = socket.create_connection((host, int(port)))
            made.settimeout(10)
            return stack.enter_context(made)

        yield connect


def head(*lines: str, path: str = CHAT) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def request(body: object) -> bytes:
    data = json.dumps(body).encode()
    return head(f"Content-Length: {len(data)}") + data


def read_all(connection: socket.socket) -> bytes:
    """Return what arrives until the server closes the connection."""
    received = b""
    try:
        while data := connection.recv(1 << 16):
            received += data
    except ConnectionResetError:
        pass
    return received


def is_ready(server: Server) -> bool:
    return server.client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    "part",
    [b"", b"POST", b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc", head()[:-2]],
    ids=["nothing", "method", "header", "headers"],
)
def test_an_incomplete_request_is_closed_in_time(
    server: Server, connect: Connect, part: bytes
) -> None:
    connection, started = connect(), time.monotonic()
    connection.sendall(part)
    assert read_all(connection) == b""
    assert 0.5 < time.monotonic() - started < 5
    assert is_ready(server)


def test_headers_that_trickle_are_closed_in_time(connect: Connect) -> None:
    connection, started = connect(), time.monotonic()
    connection.sendall(head()[:-2])
    with pytest.raises(OSError):
        while time.monotonic() - started < 9:
            connection.sendall(b"X-More: 1\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < 5


def test_an_incomplete_second_request_is_closed_in_time(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
    received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1") == 1


def test_idle_connections_give_way_to_new_ones(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"), connections=Connections(max_connections=20))
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            for _ in range(60)
        ]
        for connection in idle:
            with contextlib.suppress(OSError):  # it is closed
                connection.sendall(b"POST /")
        assert is_ready(server)
        assert [read_all(connection) for connection in idle[:40]] == [b""] * 40
        idle[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            idle[-1].recv(1)


def test_a_large_body_is_rejected_before_it_arrives(connect: Connect) -> None:
    connection = connect()
    connection.sendall(head(f"Content-Length: {MAX_BODY + 1}"))
    assert read_all(connection).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_is_an_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_READ_SECONDS", 0.1)
    connection = connect()
    connection.sendall(head("Content-Length: 20", "Connection: close") + b'{"messages')
    assert read_all(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3,
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",  # without Host
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad header\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000,
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 100_000,
        b"GET /" + b"a" * 1_000_000,
        head("Transfer-Encoding: chunked", "Content-Length: 2") + b"2\r\n{}\r\n0\r\n\r\n",
        head("Content-Length: -1"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Transfer-Encoding: chunked") + b"zz\r\n",
    ],
    ids=[
        *("tls", "text", "version", "host", "hosts", "header", "long", "many", "url", "both"),
        *("length", "lengths", "chunk"),
    ],
)
def test_what_is_not_http_is_an_error_of_the_api(
    server: Server, connect: Connect, data: bytes
) -> None:
    connection = connect()
    try:
        connection.sendall(data)
    except OSError:  # it was rejected before its end
        return
    received = read_all(connection)
    if b"\r\n\r\n" in received:
        status, body = received.split(b"\r\n\r\n", 1)
        assert status.startswith(b"HTTP/1.1 4")
        assert json.loads(body)["error"]["exit_code"] == "USAGE"
    assert is_ready(server)


@pytest.mark.parametrize(
    "part", [b"X: 1\r\n" * 100, b"a" * 1000], ids=["many trailers", "a long trailer"]
)
def test_endless_trailers_are_closed(server: Server, connect: Connect, part: bytes) -> None:
    connection = connect()
    connection.sendall(head("Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nX: ")
    n_sent = 0
    with pytest.raises(OSError):
        while n_sent < 50_000_000:
            connection.sendall(part)
            n_sent += len(part)
    assert is_ready(server)


def test_a_request_that_offers_another_protocol_is_answered_in_this_one(connect: Connect) -> None:
    connection = connect()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAA")
    data = json.dumps({"content": "a"}).encode()
    first = head(*upgrade, f"Content-Length: {len(data)}", path="/tokenize") + data
    second = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for sent in (first, second):
        connection.sendall(sent)
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        assert json.loads(response.read())


def test_an_endless_body_is_closed(server: Server, connect: Connect) -> None:
    connection = connect()
    connection.sendall(head("Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    started, n_sent = time.monotonic(), 0
    with pytest.raises(OSError):
        while time.monotonic() - started < 20:
            connection.sendall(chunk)
            n_sent += len(chunk)
    assert n_sent > 16_000_000
    assert is_ready(server)


def test_an_endless_body_of_an_unknown_path_is_closed(server: Server, connect: Connect) -> None:
    connection = connect()
    connection.sendall(head("Transfer-Encoding: chunked", path="/no/such/path"))
    started = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - started < 20:
            connection.sendall(b"1\r\n \r\n")
            time.sleep(0.01)
    assert time.monotonic() - started < 10


def test_a_client_that_does_not_read_is_closed(server: Server, connect: Connect) -> None:
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(request({**HELLO, "stream": True, "max_tokens": 1000, "n": 64}))
    assert server.wait_until(lambda: server.service.n_running == 1)
    assert server.wait_until(lambda: server.service.n_running == 0)
    with pytest.raises(ConnectionResetError):
        while connection.recv(1 << 16):
            pass
    assert is_ready(server)


def test_pipelined_requests_are_answered_in_order(connect: Connect) -> None:
    connection = connect()
    paths = ["/v1/models", "/no/such/path"] * 2
    for path in paths:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    received = read_all(connection)
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"404"]


def test_responses_do_not_name_the_server(server: Server) -> None:
    assert "server" not in server.client.get("/v1/models").headers


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_body_of_a_response_does_not_wait_for_an_acknowledgement(host: str) -> None:
    """The server sends a body after its head; Nagle's algorithm would delay it by 40 ms."""

    async def no_delay_of_a_connection() -> bool:
        found = asyncio.get_running_loop().create_future()

        def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen(host, 0) as sock:
            async with await asyncio.start_server(on_connection, sock=sock):
                _, writer = await asyncio.open_connection(*sock.getsockname()[:2])
                is_set = bool(await found)
                writer.close()
                return is_set

    try:
        assert asyncio.run(no_delay_of_a_connection())
    except UsageError:
        assert host == "::1"
        pytest.skip("no IPv6")
