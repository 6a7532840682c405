"""A server in a thread, on a free port of this machine."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx2

from llmtool.engine.socket.protocol import EngineIdentity
from llmtool.prompts.library import Library
from llmtool.server.app import make_app
from llmtool.server.functions.catalogue import list_functions
from llmtool.server.run import listen, make_server
from llmtool.server.service import Service
from llmtool.toolbox import Toolbox

Serve = Callable[..., "Server"]
Start = Callable[..., "ServerProcess"]
# Of an engine behind the private socket.
IDENTITY = EngineIdentity(
    weights="a",
    n_ctx=None,
    n_threads=1,
    n_gpu_layers="auto",
    n_parallel=None,
    reproducible=False,
    kv_type="f16",
    prefix_cache=False,
    draft="auto",
    options="",
)


class Server:
    """A running server: its URL, its service, and a client for it."""

    def __init__(self, url: str, service: Service) -> None:
        self.url, self.service = url, service
        self.client = httpx2.Client(base_url=url, timeout=30, verify=False)  # it is not encrypted

    def post(self, path: str, body: object, **options: Any) -> httpx2.Response:
        return self.client.post(path, json=body, **options)

    def stops(self, name: str = "tiny") -> bool:
        """Whether the engine of a model stops all that runs before it is finished."""
        progress = self.service.boxes[name].engine.progress
        is_idle = self.wait_until(lambda: not (progress.running or self.service.n_running))
        return is_idle and not progress.finished

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)
        return condition()


class Gate:
    """A reply that waits until the gate is open."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Semaphore(0)

    def __call__(self, prompt: str) -> str:
        self.reached.release()
        assert self.opened.wait(30)
        return "done"


class ServerProcess:
    """A server process, its URL, and the lines that it has printed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stderr
        found, lines = None, []
        while not found:
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
            found = re.search(r"serving .* at http://(\S+)", lines[-1])
        self.url, self.address = f"http://{found[1]}", found[1]

    def get(self, path: str, **headers: str) -> Any:
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


@contextmanager
def running(
    boxes: Mapping[str, Toolbox], *, host: str = "127.0.0.1", **options: Any
) -> Iterator[Server]:
    folders = options.pop("folders", ())
    grace_seconds, connections = options.pop("grace_seconds", 5), options.pop("connections", None)
    access = {name: options.pop(name) for name in ("keys", "origins") if name in options}
    started, made = threading.Event(), []
    with listen(host, 0) as sock:
        port = sock.getsockname()[1]

        async def serve() -> None:
            functions = list_functions(Library(user_folders=folders))
            service = Service(boxes, functions=functions, **options)
            app = make_app(service, host=host, **access)
            server = make_server(app, grace_seconds=grace_seconds, connections=connections)
            loop, ended = asyncio.get_running_loop(), asyncio.Event()

            async def wait_for_end() -> None:  # uvicorn polls ten times a second
                await server.on_tick(0)
                await ended.wait()

            async def close(sockets: object) -> None:  # uvicorn waits 0.1 s for clients
                for each in server.servers:
                    each.close()
                for connection in [*server.server_state.connections]:
                    connection.transport.abort()
                await asyncio.sleep(0)

            server.main_loop, server.shutdown = wait_for_end, close  # type: ignore[method-assign]
            made.extend([server, service, partial(loop.call_soon_threadsafe, ended.set)])
            started.set()
            await server.serve(sockets=[sock])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert started.wait(30)
        server, service, end = made
        made_server = Server(f"http://{host}:{port}", service)
        assert made_server.wait_until(lambda: server.started)
        try:
            yield made_server
        finally:
            end()
            thread.join(30)
            service.close()
            made_server.client.close()
