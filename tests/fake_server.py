"""A server with OpenAI's API whose responses a test writes, byte by byte if it wants."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Respond = Callable[["Exchange"], None]


class Received(NamedTuple):
    """A request that the server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Exchange:
    """A request, and the ways to respond to it."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Received) -> None:
        self._handler, self.request = handler, request

    def send(
        self,
        status: int = 200,
        body: bytes | str | object = b"",
        *,
        kind: str = "application/json",
        **headers: str,
    ) -> None:
        """Send a whole response; what is neither bytes nor text is sent as JSON."""
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else None
        data = json.dumps(body).encode() if data is None else data
        self.start(status, kind=kind, **headers, Content_Length=str(len(data)))
        self.write(data)

    def start(
        self, status: int = 200, *, kind: str | None = "text/event-stream", **headers: str
    ) -> None:
        """Send the head of a response that ends when the connection is closed."""
        self._handler.send_response(status)
        if kind is not None:
            self._handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def event(self, document: object) -> None:
        self.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    def done(self) -> None:
        self.write(b"data: [DONE]\n\n")

    def reset(self) -> None:
        """Close the connection with a reset instead of its end."""
        option = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self._handler.connection.close()
        self._handler.close_connection = True


def chunk(
    text: str | None = None,
    *,
    index: int = 0,
    finish: str | None = None,
    model: str = "tiny",
    **delta: object,
) -> dict[str, Any]:
    """Return a chunk of a streamed chat."""
    content = {} if text is None else {"content": text}
    choice = {"index": index, "delta": {**content, **delta}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": model, "choices": [choice]}


def usage(prompt: int = 5, completion: int = 2, *, model: str = "tiny") -> dict[str, Any]:
    """Return the last chunk of a stream, with the numbers of tokens."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"object": "chat.completion.chunk", "model": model, "choices": [], "usage": counts}


def say(*parts: str, finish: str = "stop", model: str = "tiny") -> Respond:
    """Return a response that streams the parts of a reply."""

    def respond(exchange: Exchange) -> None:
        exchange.start()
        for part in parts:
            exchange.event(chunk(part, model=model))
        exchange.event(chunk(finish=finish, model=model))
        exchange.event(usage(5, len(parts), model=model))
        exchange.done()

    return respond


def fail(status: int, message: str = "", **headers: str) -> Respond:
    """Return a response with an error."""
    body = {"error": {"message": message}} if message else {}
    return lambda exchange: exchange.send(status, body, **headers)


def listed(*names: str, owner: str = "someone", **fields: object) -> dict[str, Any]:
    """Return a list of models."""
    return {"object": "list", "data": [{"id": n, "owned_by": owner, **fields} for n in names]}


class FakeServer:
    """A running server: `models` is the list of its models, `replies` has its next responses.

    The last response is repeated. `answer` maps other paths to responses, and `received` has all
    that were posted, `requested` the paths of all requests.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.models: Respond = lambda exchange: exchange.send(body=listed("tiny"))
        self.replies: deque[Respond] = deque([say("Hello", "!")])
        self.answer: dict[str, Respond] = {}
        self.received: list[Received] = []
        self.requested: list[str] = []
        self.n_open = self.most_open = 0
        self.lock = threading.Lock()

    def script(self, *replies: Respond) -> None:
        self.replies = deque(replies)

    @property
    def bodies(self) -> list[Any]:
        return [each.body for each in self.received]

    def choose(self, request: Received) -> Respond:
        if request.path in self.answer:
            return self.answer[request.path]
        if request.path.endswith("/models"):
            return self.models
        if not request.path.endswith(("/chat/completions", "/completions")):
            return fail(404, "not found")
        with self.lock:
            return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """Run a server on a free port of this machine."""
    found: list[FakeServer] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # it delays what follows the head of a response by 40 ms

        def do_GET(self) -> None:
            self._respond()

        do_POST = do_GET

        def _respond(self) -> None:
            server = found[0]
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            is_form = headers.get("content-type", "").startswith("multipart/")
            body = data if is_form else json.loads(data) if data else None
            request = Received(self.command, self.path, headers, body)
            with server.lock:
                server.requested.append(self.path)
                if self.command == "POST":
                    server.received.append(request)
                server.n_open += 1
                server.most_open = max(server.most_open, server.n_open)
            try:
                server.choose(request)(Exchange(self, request))
            except OSError:  # the client closed the connection
                self.close_connection = True
            finally:
                with server.lock:
                    server.n_open -= 1

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        found.append(FakeServer(f"http://127.0.0.1:{server.server_address[1]}/v1"))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield found[0]
        finally:
            server.shutdown()
            thread.join(10)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def texts(events: Iterable[Any]) -> str:
    return "".join(getattr(event, "text", "") for event in events)
