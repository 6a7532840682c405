"""Operation: requests together, a bounded queue, time limits, clients that leave."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from running_server import Gate, Serve, Server

from llmtool.engine.scripted import ScriptedEngine
from llmtool.server.bodies import MAX_BODY
from llmtool.server.service import Service
from llmtool.toolbox import Toolbox

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
LONG = {"messages": HELLO, "max_tokens": 1900, "n": 32, "temperature": 2, "top_k": 0, "min_p": 0}


def test_many_clients_get_their_own_replies(tiny: Path, serve: Serve) -> None:
    server = serve(tiny)

    def ask(n: int) -> object:
        schema = {
            "type": "object",
            "properties": {"n": {"const": n}},
            "required": ["n"],
            "additionalProperties": False,
        }
        format = {"type": "json_schema", "json_schema": {"schema": schema}}
        body = {"messages": HELLO, "max_tokens": 60, "response_format": format}
        return json.loads(server.post(PATH, body).json()["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [{"n": n} for n in range(48)]


def test_a_full_queue_is_unavailable(serve: Serve) -> None:
    gate = Gate()
    server = serve(ScriptedEngine(gate), max_running=1, max_queue=1)
    with ThreadPoolExecutor(3) as pool:
        running = pool.submit(server.post, PATH, {"messages": HELLO})
        assert gate.reached.acquire(timeout=30)
        waiting = pool.submit(server.post, PATH, {"messages": HELLO})
        assert server.wait_until(lambda: server.service.n_waiting == 1)
        response = server.post(PATH, {"messages": HELLO})
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "queue_full"
        assert int(response.headers["retry-after"]) > 0
        gate.opened.set()
        assert running.result().status_code == waiting.result().status_code == 200


def test_a_long_request_times_out(tiny: Path, serve: Serve) -> None:
    server = serve(tiny, timeout=2)
    server.post(PATH, {"messages": HELLO, "max_tokens": 1})
    response = server.post(PATH, LONG)
    assert response.status_code == 504
    assert response.json()["error"]["exit_code"] == "TIMEOUT"
    assert server.wait_until(lambda: server.service.n_running == 0)
    assert server.post(PATH, {"messages": HELLO, "max_tokens": 1}).status_code == 200


def test_a_stream_that_times_out_ends_with_an_error(tiny: Path, serve: Serve) -> None:
    server = serve(tiny, timeout=2)
    server.post(PATH, {"messages": HELLO, "max_tokens": 1})
    lines = server.post(PATH, {**LONG, "stream": True}).text.split("\n\n")
    last = json.loads([line for line in lines if line][-1].removeprefix("data: "))
    assert last["error"]["code"] == "timeout"
    assert "[DONE]" not in lines[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_request(tiny: Path, serve: Serve, stream: bool) -> None:
    server = serve(tiny)
    server.post(PATH, {"messages": HELLO, "max_tokens": 1})
    leave = send(server, {**LONG, "stream": stream})
    assert server.wait_until(lambda: bool(server.service.boxes["tiny"].engine.progress.running))
    leave.close()
    assert server.wait_until(lambda: server.service.n_running == 0)
    progress = server.service.boxes["tiny"].engine.progress
    assert server.wait_until(lambda: not progress.running)
    assert progress.finished.keys() <= {1}  # it was stopped; one token is that of the first request


def send(server: Server, body: dict[str, Any]) -> socket.socket:
    """Send a request, and return its connection, without reading the response."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    data = json.dumps(body).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[1]", 400), (b'"\xff"', 400), (b"[" * 100_000, 400)],
)
def test_a_body_that_is_not_an_object_is_rejected(serve: Serve, body: bytes, status: int) -> None:
    response = serve(ScriptedEngine("Hi")).client.post(PATH, content=body)
    assert response.status_code == status
    assert "\n" not in response.json()["error"]["message"]


def test_a_large_body_is_rejected_by_its_length_and_by_its_bytes(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"))
    response = server.client.post(PATH, content=b" " * (MAX_BODY + 1))
    assert response.status_code == 413
    chunked = server.client.post(PATH, content=(b" " * 1_000_000 for _ in range(20)))
    assert chunked.status_code == 413


def test_unknown_paths_and_methods_are_errors(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi")).client
    assert client.get("/v2/models").status_code == 404
    assert client.get(PATH).status_code == 405
    assert "exit_code" in client.get(PATH).json()["error"]


def test_an_internal_error_is_logged_without_its_message(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(prompt: str) -> str:
        raise RuntimeError(f"secret: {prompt}")

    response = serve(ScriptedEngine(fail)).post(PATH, {"messages": HELLO})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "RuntimeError in " in caplog.text
    assert "secret" not in caplog.text


def test_calls_one_after_another_use_one_thread(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"))
    for _ in range(20):
        server.post(PATH, {"messages": HELLO})
    calls = [each for each in threading.enumerate() if each.name.startswith("llmtool-call")]
    assert len(calls) <= 2


@pytest.mark.parametrize("n_steps", range(8))
def test_a_call_that_is_cancelled_at_any_step_of_the_loop_stops(n_steps: int) -> None:
    box = Toolbox("tiny", engine=ScriptedEngine("Hi"), concurrent=True)

    def run_until_cancelled() -> None:
        while True:
            box.cancellation.check()
            time.sleep(0.01)

    async def main() -> None:
        service = Service({"tiny": box}, functions={}, max_running=1)
        call = asyncio.ensure_future(service.call(box, run_until_cancelled))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        call.cancel()
        _, running = await asyncio.wait([call], timeout=10)
        assert not running
        assert await service.call(box, lambda: 1) == 1  # the only place is free
        service.close()

    asyncio.run(main())
