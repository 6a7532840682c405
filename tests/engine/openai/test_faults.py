"""What a server does wrong: each fault is one error with an exit code, and a line of text."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_server import Exchange, FakeServer, Respond, chunk, fail, listed, say, texts, usage

from llmtool.engine.openai import connection
from llmtool.engine.types import Event, Failed, Finished, Message, Prompt, Request, Sampling
from llmtool.errors import ExitCode, LlmtoolError, ServerError, UsageError

KEY = "sk-secret-0123456789"
REQUEST = Request(prompt=Prompt(messages=(Message("user", "Say hello"),)))


def run(engine: Any, request: Request = REQUEST) -> list[Event]:
    """Return the events of a request.

    Raises:
        LlmtoolError: it failed.
    """
    events = list(engine.stream([request]))
    for event in events:
        if isinstance(event, Failed):
            raise event.error
    return events


def stream(*steps: Callable[[Exchange], object], kind: str | None = "text/event-stream") -> Respond:
    def respond(exchange: Exchange) -> None:
        exchange.start(kind=kind)
        for step in steps:
            step(exchange)

    return respond


def event(document: object) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.event(document)


def write(data: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.write(data)


def comments(exchange: Exchange) -> None:
    """Send comments, as proxies do against time limits, then the end of the reply."""
    for _ in range(40):
        exchange.write(b": waiting\n\n")
        time.sleep(0.05)
    say("!")(exchange)


def forever(exchange: Exchange) -> None:
    while True:
        exchange.write(b"data: " + json.dumps(chunk("x" * 60_000)).encode() + b"\n\n")


def enormous_line(exchange: Exchange) -> None:
    exchange.write(b"data: ")
    while True:
        exchange.write(b"x" * 1_000_000)


FAULTS: list[tuple[str, Respond, ExitCode, str]] = [
    ("HTTP 400", fail(400, "bad option 'x'"), ExitCode.USAGE, "gpu: bad option 'x'"),
    ("HTTP 401", fail(401, "no"), ExitCode.USAGE, "rejects the key: no; check LLMTOOL_API_KEY"),
    ("HTTP 403", fail(403), ExitCode.USAGE, "HTTP 403: the server rejects the key; check"),
    (
        "key in the error",
        fail(401, f"bad key {KEY}"),
        ExitCode.USAGE,
        ": bad key …; check",
    ),
    ("quota", fail(402, "pay"), ExitCode.SERVER, "HTTP 402: pay; check the account"),
    (
        "model",
        fail(404, "The model `tiny` does not exist."),
        ExitCode.MODEL_NOT_FOUND,
        "gpu has no model 'tiny'",
    ),
    ("path", fail(404, "no route"), ExitCode.USAGE, "the server has no /chat/completions: no rou"),
    ("HTTP 413", fail(413), ExitCode.CONTEXT, "the request is larger than the server accepts"),
    (
        "context",
        fail(400, "This model's maximum context length is 4096 tokens; you requested 5000"),
        ExitCode.CONTEXT,
        "maximum context length is 4096",
    ),
    ("HTTP 429", fail(429, "slow down"), ExitCode.SERVER, "HTTP 429: too many requests: slow down"),
    (
        "HTTP 500",
        fail(500, "bug"),
        ExitCode.SERVER,
        "HTTP 500: the server failed: bug; see its log",
    ),
    (
        "HTTP 500 for an invalid request",
        fail(500, "[{'type': 'less_than_equal', 'loc': ('body', 'top_p'), 'msg': 'Input should be"),
        ExitCode.USAGE,
        "gpu: [{'type': 'less_than_equal'",
    ),
    ("HTTP 503", fail(503), ExitCode.SERVER, "HTTP 503: the server is overloaded; try again later"),
    (
        "redirect",
        fail(307, Location="http://evil.example/v1"),
        ExitCode.SERVER,
        "the server redirects to evil.example; set ",
    ),
    (
        "HTML",
        lambda exchange: exchange.send(body="<html>Hello</html>", kind="text/html"),
        ExitCode.SERVER,
        "answers with text/html, not JSON; check ",
    ),
    (
        "no content type",
        stream(event(chunk("a")), kind=None),
        ExitCode.SERVER,
        "answers with no content type, not JSON",
    ),
    (
        "truncated JSON",
        lambda exchange: exchange.send(body='{"choices": [{"ind'),
        ExitCode.SERVER,
        "gpu: invalid response of the server: ends too early",
    ),
    (
        "invalid event",
        stream(write(b"data: {oops}\n\n")),
        ExitCode.SERVER,
        "gpu: invalid response of the server: ",
    ),
    (
        "other JSON",
        lambda exchange: exchange.send(body=[1, 2]),
        ExitCode.SERVER,
        "invalid response of the server",
    ),
    (
        "deep JSON",
        lambda exchange: exchange.send(body="[" * 100_000),
        ExitCode.SERVER,
        "invalid response of the server",
    ),
    (
        "end of the stream",
        stream(event(chunk("Hello"))),
        ExitCode.SERVER,
        "the server ended the reply after 1 token; run the command again",
    ),
    (
        "reset in the stream",
        stream(event(chunk("Hello")), lambda exchange: (time.sleep(0.1), exchange.reset())),
        ExitCode.SERVER,
        "lost the connection to 127.0.0.1",
    ),
    (
        "error in the stream",
        stream(event(chunk("a")), event({"error": {"message": "out of memory", "code": 500}})),
        ExitCode.SERVER,
        "gpu: out of memory",
    ),
    (
        "another model",
        say("Hello", model="other"),
        ExitCode.SERVER,
        "gpu: asked 'tiny', but 'other' answered; check the model",
    ),
    (
        "too many choices",
        stream(event(chunk("a", index=1))),
        ExitCode.SERVER,
        "invalid response of the server: choice 1 of 1",
    ),
    (
        "two ends",
        stream(event(chunk("a", finish="stop")), event(chunk(finish="stop"))),
        ExitCode.SERVER,
        "choice 0 ends twice",
    ),
    (
        "text after the end",
        stream(event(chunk("a", finish="stop")), event(chunk("b"))),
        ExitCode.SERVER,
        "choice 0 continues after its end",
    ),
    ("filter", say("a", finish="content_filter"), ExitCode.SERVER, "withheld the reply"),
    ("endless reply", stream(forever), ExitCode.SERVER, "longer than its limit of tokens"),
    ("enormous line", stream(enormous_line), ExitCode.SERVER, "a line of the stream is too long"),
]


@pytest.mark.parametrize(
    ("respond", "code", "message"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_fault_is_one_line_with_an_exit_code(
    fake: FakeServer, connect: Any, respond: Respond, code: ExitCode, message: str
) -> None:
    from llmtool.engine.openai.endpoint import Secret

    fake.script(respond)
    with pytest.raises(LlmtoolError) as caught:
        run(connect(fake.url, key=Secret(KEY)))
    text = str(caught.value)
    assert message in text and caught.value.exit_code == code
    assert text.isprintable() and len(text) < 500
    assert KEY not in text


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "HTTP_PROXY"])
def test_proxy_is_not_used_for_a_server_on_this_machine(
    fake: FakeServer, connect: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    fake.script(say("Hello"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    assert texts(run(connect(fake.url))) == "Hello"


def test_unreachable_server_is_an_error(connect: Any) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        with pytest.raises(LlmtoolError, match="cannot connect to 127.0.0.1:") as caught:
            connect(url)
    assert caught.value.exit_code == ExitCode.SERVER


def test_unknown_host_is_an_error(connect: Any) -> None:
    with pytest.raises(LlmtoolError, match="cannot connect to no-such-host.invalid") as caught:
        connect("http://no-such-host.invalid:8000/v1")
    assert caught.value.exit_code == ExitCode.SERVER


def test_server_without_tls_is_an_error(fake: FakeServer, connect: Any) -> None:
    with pytest.raises(LlmtoolError, match="does not use TLS") as caught:
        connect(fake.url.replace("http:", "https:"))
    assert caught.value.exit_code == ExitCode.SERVER


@pytest.mark.parametrize(
    ("steps", "setting"),
    [
        ((), "first_token_timeout"),
        ((event(chunk("", role="assistant")),), "first_token_timeout"),
        ((event(chunk("Hello")),), "token_timeout"),
        ((event(chunk("Hello")), comments), "token_timeout"),
    ],
    ids=["nothing", "role", "token", "comments"],
)
def test_stall_has_a_time_limit(
    fake: FakeServer, connect: Any, steps: tuple[Any, ...], setting: str
) -> None:
    stop = threading.Event()
    fake.script(stream(*steps, lambda exchange: stop.wait(30)))
    engine = connect(fake.url, first_token_seconds=0.2, token_seconds=0.2)
    try:
        with pytest.raises(LlmtoolError, match=f"raise endpoints.gpu.{setting}") as caught:
            run(engine)
    finally:
        stop.set()
    assert caught.value.exit_code == ExitCode.SERVER


@pytest.mark.parametrize(
    "broken",
    [fail(429), fail(500), fail(503, Retry_After="0"), lambda exchange: exchange.reset()],
    ids=["429", "500", "503", "reset"],
)
def test_fault_before_the_first_token_is_retried(
    fake: FakeServer, connect: Any, broken: Respond
) -> None:
    fake.script(broken, broken, say("Hello"))
    assert texts(run(connect(fake.url))) == "Hello"
    assert len(fake.bodies) == 3 and fake.bodies[0] == fake.bodies[2]


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}], ids=["loading", "Retry-After"])
def test_server_that_starts_has_the_time_until_the_first_token(
    fake: FakeServer, connect: Any, headers: dict[str, str]
) -> None:
    starting = fail(503, "Loading model" if not headers else "", **headers)
    fake.script(*[starting] * 20, say("Hello"))
    assert texts(run(connect(fake.url))) == "Hello"
    fake.received.clear()
    fake.script(starting)
    engine = connect(fake.url, first_token_seconds=0.3)
    started = time.monotonic()
    with pytest.raises(ServerError, match="HTTP 503: the server is not ready.*; try again later"):
        run(engine)
    assert time.monotonic() - started < 5 and len(fake.bodies) > 3


@pytest.mark.parametrize(
    "message",
    ["logprobs is not supported for models created with logits_all=False", "1 validation error"],
)
def test_rejected_request_is_not_repeated(fake: FakeServer, connect: Any, message: str) -> None:
    fake.script(fail(500, message))
    with pytest.raises(UsageError, match=message):
        run(connect(fake.url))
    assert len(fake.bodies) == 1


def test_connection_lost_in_a_batch_is_requested_again_as_a_whole(
    fake: FakeServer, connect: Any
) -> None:
    broken = stream(event(chunk("Hel")), lambda exchange: exchange.reset())
    fake.script(broken, say("Hello"))
    events = list(connect(fake.url).stream([REQUEST, Request(prompt=REQUEST.prompt, id=1)]))
    assert not [each for each in events if isinstance(each, Failed)]
    assert texts(each for each in events if each.id == 0) == "Hello"
    assert len(fake.bodies) == 3


def test_server_is_given_the_time_that_it_asks_for(fake: FakeServer, connect: Any) -> None:
    times: list[float] = []

    def respond(exchange: Exchange) -> None:
        times.append(time.monotonic())
        (fail(429, Retry_After="1") if len(times) == 1 else say("Hello"))(exchange)

    fake.script(respond)
    assert texts(run(connect(fake.url))) == "Hello"
    assert times[1] - times[0] >= 1


def test_other_requests_wait_as_well(fake: FakeServer, connect: Any) -> None:
    times: list[float] = []

    def respond(exchange: Exchange) -> None:
        times.append(time.monotonic())
        (fail(429, Retry_After="1") if len(times) == 1 else say("Hello"))(exchange)

    fake.script(respond)
    requests = [Request(prompt=REQUEST.prompt, id=i) for i in range(3)]
    events = list(connect(fake.url, concurrency=1).stream(requests))
    assert sum(isinstance(each, Finished) for each in events) == 3
    assert times[1] - times[0] >= 1


def test_waits_grow_and_are_random(
    fake: FakeServer, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float, result: object = None) -> None:
        if seconds:
            waits.append(seconds / 0.01)  # the first wait of `connect`
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", record)
    fake.script(fail(500))
    with pytest.raises(ServerError):
        run(connect(fake.url))
    limits = [1, 2, 4, 8, 16]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert len({wait / limit for wait, limit in zip(waits, limits, strict=True)}) > 1


def test_wait_that_is_too_long_is_an_error(fake: FakeServer, connect: Any) -> None:
    fake.script(fail(429, Retry_After="86400"))
    with pytest.raises(LlmtoolError, match="too many requests"):
        run(connect(fake.url))
    assert len(fake.bodies) == 1


def test_storm_of_429_lowers_the_concurrency_and_loses_nothing(
    fake: FakeServer, connect: Any
) -> None:
    lock, n_open, n_refused = threading.Lock(), [0], [0]

    def respond(exchange: Exchange) -> None:
        with lock:
            n_open[0] += 1
            is_full = n_open[0] > 4
            n_refused[0] += is_full
        try:
            if is_full:
                fail(429, "busy")(exchange)
            else:
                time.sleep(0.01)
                say(exchange.request.body["messages"][0]["content"])(exchange)
        finally:
            with lock:
                n_open[0] -= 1

    fake.script(respond)
    requests = [
        Request(prompt=Prompt(messages=(Message("user", str(i)),)), id=i) for i in range(200)
    ]
    events = list(connect(fake.url, concurrency=32).stream(requests))
    found = {each.id: texts([each]) for each in events if texts([each])}
    assert [each for each in events if isinstance(each, Failed)] == []
    assert found == {i: str(i) for i in range(200)}
    assert n_refused[0] < 150


def test_invalid_key_stops_a_batch(fake: FakeServer, connect: Any) -> None:
    fake.script(fail(401, "no"))
    n_read = 0

    def requests() -> Any:
        nonlocal n_read
        while True:
            n_read += 1
            yield Request(prompt=REQUEST.prompt, id=n_read)

    with pytest.raises(LlmtoolError, match="needs a key"):
        list(connect(fake.url, concurrency=2).stream(requests()))
    assert n_read < 20


def test_server_that_only_fails_stops_a_batch(fake: FakeServer, connect: Any) -> None:
    fake.script(fail(500, "bug"))
    requests = (Request(prompt=REQUEST.prompt, id=i) for i in range(1000))
    with pytest.raises(LlmtoolError, match="the server failed: bug"):
        list(connect(fake.url, concurrency=4).stream(requests))
    assert len(fake.bodies) < 300


def test_missing_usage_is_counted(fake: FakeServer, connect: Any) -> None:
    fake.script(
        stream(event(chunk("Hello")), event(chunk("!")), event(chunk(finish="stop")), Exchange.done)
    )
    end = run(connect(fake.url))[-1]
    assert isinstance(end, Finished)
    assert end.usage.completion_tokens == 2 and end.usage.prompt_tokens > 0


def test_invalid_utf8_is_replaced(fake: FakeServer, connect: Any) -> None:
    data = json.dumps(chunk("a?b", finish="stop")).encode().replace(b"?", b"\xff")
    fake.script(stream(write(b"data: " + data + b"\n\n"), event(usage()), Exchange.done))
    assert texts(run(connect(fake.url))) == "a\ufffdb"


def test_server_that_does_not_stream_is_understood(fake: FakeServer, connect: Any) -> None:
    choice = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 3, "completion_tokens": 1}
    body = {"model": "tiny", "choices": [choice], "usage": counts}
    fake.script(lambda exchange: exchange.send(body=body))
    *tokens, end = run(connect(fake.url))
    assert texts(tokens) == "Hello" and isinstance(end, Finished)
    assert end.usage.prompt_tokens == 3


def test_size_of_a_document_is_limited(
    fake: FakeServer, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect(fake.url)
    monkeypatch.setattr(connection, "MAX_DOCUMENT", 3 << 20)
    fake.script(lambda exchange: exchange.send(body={"text": "a" * (4 << 20)}))
    with pytest.raises(LlmtoolError, match="invalid response of the server: more than 3 MB"):
        run(engine)


def test_events_split_anywhere_are_joined(fake: FakeServer, connect: Any) -> None:
    data = b"".join(
        b": hi\r\nevent: x\r\ndata: " + json.dumps(each).encode() + b"\r\n\r\n"
        for each in (chunk("Hé"), chunk("llo", finish="stop"), usage())
    )
    parts = [write(data[i : i + 7]) for i in range(0, len(data), 7)]
    fake.script(stream(*parts, Exchange.done))
    assert texts(run(connect(fake.url))) == "Héllo"


def test_answer_under_a_longer_name_of_the_model_is_accepted(
    fake: FakeServer, connect: Any
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("gpt-4o"))
    fake.script(say("Hello", model="gpt-4o-2024-08-06"))
    assert texts(run(connect(fake.url, "gpt-4o"))) == "Hello"


def test_stop_waits_for_no_retry(fake: FakeServer, connect: Any) -> None:
    from llmtool.cancellation import Cancellation
    from llmtool.errors import Cancelled

    fake.script(fail(429, Retry_After="60"))
    cancellation = Cancellation()
    engine = connect(fake.url, cancellation=cancellation)
    threading.Timer(0.2, cancellation.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(engine)
    assert time.monotonic() - started < 5


def test_sampling_of_a_request_survives_a_retry(fake: FakeServer, connect: Any) -> None:
    fake.script(fail(503), say("Hello"))
    request = Request(prompt=REQUEST.prompt, sampling=Sampling(temperature=1.0))
    end = run(connect(fake.url), request)[-1]
    assert isinstance(end, Finished)
    assert [body["seed"] for body in fake.bodies] == [end.seed, end.seed]
