"""Many clients that read slowly, leave, send nonsense or ask: each gets its own reply.

A reply is constrained to a word that only its own request contains.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import struct
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, linux
from running_server import Start

CHAT, COMPLETIONS, GEN = "/v1/chat/completions", "/v1/completions", "/v1/functions/gen"
# In two minutes, after one minute.
MAX_GROWTH_MB = 12.0


class Client:
    """A client that does one thing after another, chosen at random, and counts what it did."""

    def __init__(self, address: str, seed: int) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._random = random.Random(seed)
        self._n, self._seed = 0, seed
        self.done: Counter[str] = Counter()

    def run(self, end: float) -> Counter[str]:
        actions = {
            self.ask: 30,
            self.complete: 10,
            self.call_function: 10,
            self.stream: 20,
            self.read_slowly: 5,
            self.leave: 15,
            self.send_nonsense: 8,
            self.stay_incomplete: 5,
            self.send_without_end: 1,
        }
        while time.monotonic() < end:
            (action,) = self._random.choices(list(actions), list(actions.values()))
            action()
            self.done[action.__name__] += 1
        return self.done

    def ask(self) -> None:
        word = self._word()
        reply = self._post(CHAT, self._chat(word))["choices"][0]["message"]["content"]
        assert json.loads(reply) == word

    def complete(self) -> None:
        words = [self._word() for _ in range(2)]
        body = {"prompt": [f"{each}:" for each in words], "echo": True, "max_tokens": 3}
        choices = self._post(COMPLETIONS, body)["choices"]
        assert [each["text"].partition(":")[0] for each in choices] == words

    def call_function(self) -> None:
        word = self._word()
        body = {"prompt": f"Say {word}", "schema": {"const": word}}
        assert self._post(GEN, body)["value"] == word

    def stream(self, pause: float = 0.0) -> None:
        word = self._word()
        connection, response = self._send(CHAT, {**self._chat(word), "stream": True})
        text = ""
        with connection:
            while line := response.readline():
                if line.startswith(b"data: {"):
                    chunk = json.loads(line[6:])
                    assert "error" not in chunk, chunk
                    text += chunk["choices"][0]["delta"].get("content") or ""
                time.sleep(pause)
            assert line == b""
        assert json.loads(text) == word

    def read_slowly(self) -> None:
        self.stream(pause=self._random.uniform(0, 0.1))

    def leave(self) -> None:
        """Leave during a long reply: close the connection, or reset it as a killed client does."""
        body = {**self._chat(self._word()), "max_tokens": 4000, "n": self._random.choice([1, 3])}
        del body["response_format"]
        connection = self._connect()
        with connection:
            connection.sendall(_request(CHAT, {**body, "stream": self._random.random() < 0.5}))
            connection.settimeout(self._random.uniform(0.01, 1))
            with suppress(TimeoutError):
                connection.recv(1000)
            if self._random.random() < 0.5:
                reset = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    def send_nonsense(self) -> None:
        bodies: list[Any] = [
            {"messages": []},
            {"messages": [{"role": "user", "content": "a " * 100_000}]},
            {"messages": [{"role": "user", "content": "a"}], "max_tokns": 4},
            {**self._chat("a"), "temperature": -1},
            [1],
            {**self._chat("a"), "response_format": {"type": "json_schema", "json_schema": {}}},
        ]
        connection, response = self._send(CHAT, self._random.choice(bodies))
        with connection:
            assert response.status == 400, response.read()
            assert json.loads(response.read())["error"]["exit_code"]

    def stay_incomplete(self) -> None:
        data = _request(CHAT, self._chat(self._word()))
        with self._connect() as connection:
            connection.sendall(data[: self._random.randrange(len(data))])
            time.sleep(self._random.uniform(0, 1))

    def send_without_end(self) -> None:
        with self._connect() as connection, suppress(OSError):
            connection.sendall(_head(CHAT, "Transfer-Encoding: chunked"))
            end = time.monotonic() + self._random.uniform(0, 0.5)
            while time.monotonic() < end:
                connection.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
                time.sleep(0.001)

    def _word(self) -> str:
        self._n += 1
        return f"w{self._seed}x{self._n}"

    def _chat(self, word: str) -> dict[str, Any]:
        schema = {"type": "json_schema", "json_schema": {"schema": {"const": word}}}
        messages = [{"role": "user", "content": f"Say {word}"}]
        return {"messages": messages, "response_format": schema, "max_tokens": 60}

    def _connect(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=120)

    def _send(self, path: str, body: Any) -> tuple[socket.socket, http.client.HTTPResponse]:
        connection = self._connect()
        connection.sendall(_request(path, body))
        response = http.client.HTTPResponse(connection)
        response.begin()
        return connection, response

    def _post(self, path: str, body: Any) -> Any:
        connection, response = self._send(path, body)
        with connection:
            data = response.read()
            assert response.status == 200, data
            return json.loads(data)


def _head(path: str, *lines: str) -> bytes:
    first = (f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close")
    return "\r\n".join([*first, *lines, "", ""]).encode()


def _request(path: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    return _head(path, f"Content-Length: {len(data)}") + data


def _resources(pid: int) -> tuple[float, int]:
    """Return the megabytes of anonymous memory of a process, and its open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1000, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _wait_until_idle(url: str) -> None:
    """Wait until no call runs and no reply is decoded."""
    end = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
            text = response.read().decode()
        names = "calls_running|calls_waiting|replies_running|requests_waiting"
        values = re.findall(rf"^llmtool_(?:{names})\S* (\S+)$", text, re.M)
        if len(values) == 4 and not any(map(float, values)):
            return
        assert time.monotonic() < end, values
        time.sleep(0.1)


@linux
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("n_clients", "seconds"),
    [(16, 3), pytest.param(64, 180, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_each_client_gets_its_own_reply(
    start: Start,
    tiny_model: Callable[..., Path],
    n_clients: int,
    seconds: float,
) -> None:
    server = start(model=tiny_model("plain", **INFINITE))
    pid = server.process.pid

    def run(seed: int, end: float) -> Counter[str]:
        return Client(server.address, seed).run(end)

    def run_all(first: int, seconds: float) -> Counter[str]:
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(n_clients) as pool:
            counts = list(pool.map(run, range(first, first + n_clients), [end] * n_clients))
        _wait_until_idle(server.url)
        return sum(counts, Counter())

    run_all(0, seconds / 3)
    memory, n_files = _resources(pid)
    done = run_all(n_clients, seconds * 2 / 3)
    memory_after, n_files_after = _resources(pid)
    assert sum(done.values()) > n_clients
    assert n_files_after <= n_files + 2
    if seconds > 60:
        assert memory_after - memory < MAX_GROWTH_MB
