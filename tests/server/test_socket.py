"""Engines behind a private socket: same results and errors, cancellation, death, strangers."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import INFINITE
from running_server import IDENTITY

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.socket import private
from llmtool.engine.socket.client import Connector, SocketEngine
from llmtool.engine.socket.protocol import ProtocolError
from llmtool.engine.types import (
    Engine,
    Event,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Token,
)
from llmtool.errors import Cancelled, ContextOverflow, EngineError, UsageError
from llmtool.option_names import use_format
from llmtool.server.activity import Activity
from llmtool.server.socket import Served, SocketServer
from llmtool.structured.constraint import Constraint
from llmtool.toolbox import Toolbox

if not private.IS_AVAILABLE:
    pytest.skip("no Unix sockets", allow_module_level=True)

ENDLESS = Sampling(max_tokens=60_000, temperature=2, top_k=0, min_p=0)


class Pair:
    """A server, and clients of it whose fallback is `local`."""

    def __init__(self, box: Toolbox, folder: Path, local: Callable[[], Engine]) -> None:
        self.box, self.local = box, local
        self.activity = Activity()
        self.stopped = threading.Event()
        self.server = SocketServer(
            folder,
            {"tiny": Served(box, IDENTITY)},
            activity=self.activity,
            stop=self.stopped.set,
        )

    def client(self, cancellation: Cancellation | None = None) -> SocketEngine:
        connector = Connector(self.server.path, IDENTITY)
        assert not connector.welcome.differs
        stop = cancellation or Cancellation()
        return SocketEngine(connector, fall_back=self.local, cancellation=stop)

    def wait_until_idle(self, seconds: float = 30) -> bool:
        end = time.monotonic() + seconds
        while self.activity.n_running and time.monotonic() < end:
            time.sleep(0.01)
        return not self.activity.n_running


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Return `start(engine or model)`."""
    with ExitStack() as stack:

        def start(model: Any, local: Callable[[], Engine] = ScriptedEngine) -> Pair:
            if hasattr(model, "stream"):
                box = Toolbox("tiny", engine=model, concurrent=True)
            else:
                box = Toolbox(model, concurrent=True, n_threads=1, prefix_cache=False)
            stack.callback(box.close)
            made = Pair(box, tmp_path / "run", local)
            stack.callback(made.server.close)
            return made

        yield start


def of_text(text: str, *, id: int = 0, n: int = 1, **sampling: Any) -> Request:
    return Request(
        id=id, n=n, prompt=Prompt(text=text), sampling=Sampling(**{"temperature": 0, **sampling})
    )


def without_times(events: Any) -> list[Event]:
    """Return events without their timings, and failures as comparable values."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, Failed):
            found.append((event.id, type(event.error), str(event.error), vars(event.error)))
        elif isinstance(event, Token):
            found.append(event)
        else:
            found.append(msgspec.structs.replace(event, timings=None))
    return sorted(
        found, key=lambda each: getattr(each, "id", 0) if not isinstance(each, tuple) else each[0]
    )


REQUESTS: dict[str, Callable[[], list[Any]]] = {
    "greedy": lambda: [of_text("once upon a time", max_tokens=20)],
    "sampled": lambda: [of_text("once upon", max_tokens=20, temperature=1.5, seed=7, n=3)],
    "logprobs and echo": lambda: [
        Request(
            prompt=Prompt(text="once upon a time"),
            sampling=Sampling(max_tokens=8, logprobs=3, temperature=0),
            echo=True,
        )
    ],
    "messages": lambda: [
        Request(
            prompt=Prompt(messages=(Message("user", "hello"),), prefill="Well"),
            sampling=Sampling(max_tokens=9, temperature=0, stop=("e",)),
        )
    ],
    "regex": lambda: [
        of_text("a", max_tokens=9, constraint=Constraint("regex", "[a-c]{2,6}x"), seed=1)
    ],
    "schema": lambda: [
        of_text(
            "a",
            max_tokens=60,
            constraint=Constraint("json_schema", '{"type": "array", "maxItems": 2}'),
        )
    ],
    "scores": lambda: [
        ScoreRequest(prompt=Prompt(text="the answer:"), candidates=(" yes", " no"), end=True),
        ScoreRequest(prompt=Prompt(text="another:"), candidates=(" red", " blue"), id=1),
    ],
    "tokens": lambda: [
        Request(prompt=Prompt(token_ids=(5, 6, 7)), sampling=Sampling(max_tokens=4, temperature=0))
    ],
    "bad constraint": lambda: [of_text("a", constraint=Constraint("regex", "(("))],
    "bad constraint beside a good request": lambda: [
        of_text("a", constraint=Constraint("regex", "((")),
        of_text("b", max_tokens=5, id=1),
    ],
    "too long": lambda: [of_text("word " * 5000, max_tokens=9)],
    "too many tokens": lambda: [of_text("word", max_tokens=10**6)],
    "surrogate": lambda: [of_text("a\ud83d"), of_text("b", max_tokens=3, id=1)],
    "unknown logit bias": lambda: [of_text("a", logit_bias={"not one token at all": 1.0})],
    "failed before": lambda: [Failed(3, EngineError("unreadable")), of_text("b", max_tokens=3)],
    "a pause": lambda: [of_text("a", max_tokens=3), None, of_text("b", max_tokens=3, id=1)],
    "none": lambda: [],
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_events_are_those_of_the_engine_itself(
    name: str, pair: Callable[..., Pair], tiny: Path
) -> None:
    local = LocalEngine(load_model(tiny), n_threads=1)
    with use_format(lambda name, value: f"<{name} {value}>"):
        expected = without_times(local.stream(REQUESTS[name]()))
        client = pair(tiny).client()
        assert without_times(client.stream(REQUESTS[name]())) == expected
        assert without_times(client.stream(REQUESTS[name]())) != [] or name == "none"
    local.close()


def test_prompts_have_the_same_tokens_and_limits(pair: Callable[..., Pair], tiny: Path) -> None:
    local = LocalEngine(load_model(tiny), n_threads=1)
    client = pair(tiny).client()
    prompt = Prompt(messages=(Message("user", "hello"),))
    assert client.tokenize(prompt) == local.tokenize(prompt)
    assert client.check_length(5, None) == local.check_length(5, None)
    assert client.reasoning_support == local.reasoning_support
    assert client.info.n_ctx == local.info.n_ctx
    assert client.info.load_seconds == 0
    with pytest.raises(ContextOverflow) as found:
        client.check_length(5, 10**6)
    with pytest.raises(ContextOverflow) as expected:
        local.check_length(5, 10**6)
    assert str(found.value) == str(expected.value)
    assert vars(found.value) == vars(expected.value)
    local.close()


def test_requests_of_clients_are_not_mixed_up(pair: Callable[..., Pair]) -> None:
    made = pair(ScriptedEngine(lambda text: f"reply to {text}"))

    def call(i: int) -> str:
        events = made.client().stream([of_text(f"{i}", id=i % 3)])
        return "".join(event.text for event in events if isinstance(event, Token))

    with ThreadPoolExecutor(16) as pool:
        assert [*pool.map(call, range(64))] == [f"reply to {i}" for i in range(64)]


def test_a_request_may_depend_on_an_earlier_reply(pair: Callable[..., Pair]) -> None:
    client = pair(ScriptedEngine(lambda text: text + "!")).client()
    replies: list[str] = []

    def requests() -> Iterator[Request | None]:
        yield of_text("a")
        while not replies:
            yield None
        yield of_text(replies[0], id=1)

    for event in client.stream(requests()):
        if isinstance(event, Token):
            replies.append(event.text)
    assert replies == ["a!", "a!!"]


def test_progress_is_that_of_the_server(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    client = pair(tiny_model("plain", **INFINITE)).client()
    for _ in client.stream([Request(prompt=Prompt(text="a"), sampling=ENDLESS)]):
        if client.progress.n_generated > 3:
            break
    assert client.progress.running[0][1] == 60_000


def test_cancelling_stops_the_request_on_the_server(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    made, stop = pair(tiny_model("plain", **INFINITE)), Cancellation()
    client = made.client(stop)
    with pytest.raises(Cancelled) as found:
        for _ in client.stream([Request(prompt=Prompt(text="a"), sampling=ENDLESS)]):
            stop.cancel(signal.SIGINT)
    assert found.value.reason == signal.SIGINT
    assert made.wait_until_idle()
    stop.reset()
    assert [*client.stream([of_text("b", max_tokens=2)])]


def test_one_request_of_a_stream_can_be_cancelled(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    made, stop = pair(tiny_model("plain", **INFINITE)), Cancellation()
    endless = Request(prompt=Prompt(text="a"), sampling=ENDLESS, cancellation=stop)
    ends = []
    for event in made.client().stream([endless, of_text("b", id=1, max_tokens=5)]):
        if isinstance(event, Token):
            stop.cancel()
        else:
            ends.append(event)
    by_id = {event.id: event for event in ends}
    assert isinstance(by_id[0], Failed) and isinstance(by_id[0].error, Cancelled)
    assert isinstance(by_id[1], Finished)


def test_an_abandoned_stream_stops_its_request(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    made = pair(tiny_model("plain", **INFINITE))
    stream = made.client().stream([Request(prompt=Prompt(text="a"), sampling=ENDLESS)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert made.wait_until_idle()


def test_a_killed_client_frees_its_requests(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    made = pair(tiny_model("plain", **INFINITE))
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from test_socket import *
client = SocketEngine(
    Connector(Path({str(made.server.path)!r}), IDENTITY),
    fall_back=ScriptedEngine, cancellation=Cancellation(),
)
for event in client.stream([Request(prompt=Prompt(text="a"), sampling=ENDLESS)]):
    print("token", flush=True)
"""
    folder = str(Path(__file__).parent)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=folder)
    assert child.stdout is not None and child.stdout.readline() == b"token\n"
    child.kill()
    child.wait()
    assert made.wait_until_idle()


def test_death_before_the_first_token_runs_the_request_here(pair: Callable[..., Pair]) -> None:
    begun = threading.Event()

    def block(text: str) -> str:
        begun.set()
        time.sleep(0.3)
        return "from the server"

    made = pair(ScriptedEngine(block), lambda: ScriptedEngine("from here"))
    client = made.client()
    thread = threading.Thread(target=lambda: (begun.wait(30), made.server.close()))
    thread.start()
    texts = [e.text for e in client.stream([of_text("a")]) if isinstance(e, Token)]
    thread.join()
    assert "".join(texts) == "from here"
    assert client.tokenize(Prompt(text="a b")).token_ids == (0, 1)


def test_death_between_calls_runs_the_next_one_here(pair: Callable[..., Pair]) -> None:
    made = pair(ScriptedEngine("from the server"), lambda: ScriptedEngine("from here"))
    client = made.client()
    assert [*client.stream([of_text("a")])]
    made.server.close()
    assert client.check_length(3, 4) == (4, 4096)
    texts = [e.text for e in client.stream([of_text("a")]) if isinstance(e, Token)]
    assert "".join(texts) == "from here"


def test_death_during_a_reply_is_an_error(
    pair: Callable[..., Pair], tiny_model: Callable[..., Path]
) -> None:
    made = pair(tiny_model("plain", **INFINITE))
    with pytest.raises(EngineError, match="ended during the reply; run the command again"):
        for _ in made.client().stream([Request(prompt=Prompt(text="a"), sampling=ENDLESS)]):
            made.server.close()


def test_running_replies_end_within_the_grace_period(pair: Callable[..., Pair]) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def block(text: str) -> str:
        begun.set()
        assert may_end.wait(30)
        return "complete"

    made = pair(ScriptedEngine(block))
    client = made.client()
    with ThreadPoolExecutor(2) as pool:
        reply = pool.submit(lambda: [*client.stream([of_text("a")])])
        assert begun.wait(30)
        closing = pool.submit(made.server.close, grace_seconds=30)
        may_end.set()
        assert isinstance(reply.result()[-1], Finished)
        closing.result()


def test_an_error_of_the_engine_is_reported(pair: Callable[..., Pair]) -> None:
    def fail(text: str) -> str:
        raise RuntimeError("out of memory")

    with pytest.raises(EngineError, match="the server failed: RuntimeError: out of memory"):
        list(pair(ScriptedEngine(fail)).client().stream([of_text("a")]))


def test_another_engine_is_refused(pair: Callable[..., Pair]) -> None:
    other = msgspec.structs.replace(IDENTITY, n_ctx=512, kv_type="q8_0")
    path = pair(ScriptedEngine()).server.path
    assert Connector(path, other).welcome.differs == ("n_ctx", "kv_type")


def test_socket_and_folder_are_private(pair: Callable[..., Pair]) -> None:
    path = pair(ScriptedEngine()).server.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert private.list_sockets(path.parent) == [path]


@pytest.mark.parametrize("target", ["socket", "folder"])
def test_a_socket_that_others_can_open_is_not_used(target: str, pair: Callable[..., Pair]) -> None:
    path = pair(ScriptedEngine()).server.path
    (path if target == "socket" else path.parent).chmod(0o755)
    with pytest.raises(PermissionError, match="that only you can open"):
        Connector(path, IDENTITY)


def test_a_missing_socket_is_reported_as_missing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(FileNotFoundError):
        Connector(tmp_path / "none.sock", IDENTITY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("target", ["socket", "folder"])
def test_a_socket_of_another_user_is_not_used(target: str, pair: Callable[..., Pair]) -> None:
    path = pair(ScriptedEngine()).server.path
    os.chown(path if target == "socket" else path.parent, 12345, 12345)
    with pytest.raises(PermissionError, match="that only you can open"):
        Connector(path, IDENTITY)


def test_a_server_that_runs_as_another_user_is_not_used(
    pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pair(ScriptedEngine()).server.path
    monkeypatch.setattr(private, "is_own_peer", lambda sock: False)
    with pytest.raises(PermissionError, match="is the socket of another user's process"):
        private.connect(path)


def test_a_server_does_not_listen_in_a_folder_that_others_can_open(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="not a folder that only you can open"):
        private.listen(folder, "1.sock")


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_server_checks_the_user_of_a_client(
    is_foreign: bool, pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pair(ScriptedEngine("hi"))
    if not is_foreign:
        assert made.client().info
        return
    sock = socket.socket(socket.AF_UNIX)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    sock.connect(os.fspath(made.server.path))
    sock.settimeout(30)
    assert sock.recv(1) == b""
    sock.close()


def test_sockets_of_killed_servers_are_removed(tmp_path: Path) -> None:
    first = private.listen(tmp_path / "run", "1.sock")
    first.close()  # without removing its file
    private.listen(tmp_path / "run", "2.sock").close()
    assert [path.name for path in private.list_sockets(tmp_path / "run")] == ["2.sock"]


def test_a_long_path_has_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25) / "run"
    if sys.platform != "linux":
        with pytest.raises(UsageError, match="too long"):
            private.listen(folder, "1.sock")
        return
    listener = private.listen(folder, "1.sock")
    private.connect(folder / "1.sock").close()
    listener.close()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n" * 9, b"\0\0\0\2\xc1\xc1", b"\0\0"])
def test_a_client_that_sends_something_else_is_disconnected(
    data: bytes, pair: Callable[..., Pair]
) -> None:
    made = pair(ScriptedEngine("hi"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.fspath(made.server.path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(30)
        assert sock.recv(1) == b""
    assert [*made.client().stream([of_text("a")])]


def test_something_else_that_listens_is_not_a_server(tmp_path: Path) -> None:
    listener = private.listen(tmp_path / "run", "1.sock")

    def answer() -> None:
        sock, _ = listener.accept()
        sock.recv(10)
        sock.sendall(b"\0\0\0\1\xc0")
        sock.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(ProtocolError):
        Connector(tmp_path / "run" / "1.sock", IDENTITY)
    thread.join()
    listener.close()
