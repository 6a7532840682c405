"""Requests to a server: what is sent, and the events that its replies become."""

from __future__ import annotations

import json
import ssl
import threading
import time
from typing import Any

import pytest
from fake_server import Exchange, FakeServer, chunk, fail, listed, say, texts, usage, wait_until

from llmtool.cancellation import Cancellation
from llmtool.engine.openai.engine import RemoteEngine
from llmtool.engine.types import (
    Adapter,
    Event,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
)
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError, UsageError
from llmtool.structured.constraint import Constraint

HELLO = Prompt(messages=(Message("user", "Say hello"),))


def ask(prompt: Prompt = HELLO, *, n: int = 1, id: int = 0, **sampling: Any) -> Request:
    return Request(prompt=prompt, sampling=Sampling(**sampling), n=n, id=id)


def run(engine: RemoteEngine, *requests: Request) -> list[Event]:
    return list(engine.stream(requests))


def error(events: list[Event]) -> Exception:
    (failed,) = [each for each in events if isinstance(each, Failed)]
    return failed.error


def test_chat_is_streamed_with_its_usage(fake: FakeServer, connect: Any) -> None:
    fake.script(say("Hello", ", ", "world"))
    *tokens, end = run(connect(fake.url), ask(temperature=0, max_tokens=9))
    assert [token.text for token in tokens if isinstance(token, Token)] == ["Hello", ", ", "world"]
    assert isinstance(end, Finished)
    assert (end.finish_reason, end.seed) == ("stop", 0)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (5, 3)
    assert fake.bodies == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Say hello"}],
            "temperature": 0,
            "max_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


def test_tokens_arrive_while_the_reply_is_written(fake: FakeServer, connect: Any) -> None:
    gate = threading.Event()

    def respond(exchange: Exchange) -> None:
        exchange.start()
        exchange.event(chunk("Hello"))
        assert gate.wait(10)
        exchange.event(chunk("!", finish="stop"))
        exchange.done()

    fake.script(respond)
    events = connect(fake.url).stream([ask()])
    assert next(events).text == "Hello"
    gate.set()
    assert texts(events) == "!"


def test_text_is_continued_and_filled_in(fake: FakeServer, connect: Any) -> None:
    def respond(exchange: Exchange) -> None:
        choice = {"index": 0, "text": " there", "finish_reason": "length"}
        exchange.send(body={"model": "tiny", "choices": [choice]})

    fake.script(respond)
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="llmtool"))
    prompt = Prompt(text="Hello", suffix="!")
    events = run(connect(fake.url), ask(prompt))
    assert texts(events) == " there"
    assert events[-1].finish_reason == "length"  # type: ignore[union-attr]
    (request,) = fake.received
    assert request.path == "/v1/completions"
    assert (request.body["prompt"], request.body["suffix"]) == ("Hello", "!")


def test_sampling_options_have_the_names_of_the_server(fake: FakeServer, connect: Any) -> None:
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "repeat_penalty": 1.2,
        "frequency_penalty": 0.5,
        "presence_penalty": 1.0,
        "seed": 3,
        "stop": ("END",),
        "logit_bias": {"15": -100.0},
    }
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="vllm"))
    run(connect(fake.url), ask(**options))
    sent = fake.bodies[0]
    assert sent["repetition_penalty"] == 1.2
    assert (sent["top_k"], sent["min_p"]) == (7, 0.05)
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.5, 0.9, 3)
    assert (sent["frequency_penalty"], sent["presence_penalty"]) == (0.5, 1.0)
    assert (sent["stop"], sent["logit_bias"]) == (["END"], {"15": -100.0})


def test_random_seed_is_sent_and_reported(fake: FakeServer, connect: Any) -> None:
    end = run(connect(fake.url), ask())[-1]
    assert isinstance(end, Finished)
    assert fake.bodies[0]["seed"] == end.seed


def test_reply_ends_before_a_stop_string_that_the_server_ignores(
    fake: FakeServer, connect: Any
) -> None:
    fake.script(say("one, tw", "o, three", " four"))
    *tokens, end = run(connect(fake.url), ask(stop=("two",)))
    assert texts(tokens) == "one, "
    assert isinstance(end, Finished)
    assert (end.finish_reason, end.stop_string) == ("stop", "two")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_has_events_of_its_own(fake: FakeServer, connect: Any, field: str) -> None:
    def respond(exchange: Exchange) -> None:
        exchange.start()
        exchange.event(chunk(**{field: "Hmm. "}))
        exchange.event(chunk("Yes", finish="stop"))
        counts = {**usage()["usage"], "completion_tokens_details": {"reasoning_tokens": 1}}
        exchange.event({**usage(), "usage": counts})
        exchange.done()

    fake.script(respond)
    events = run(connect(fake.url), ask())
    assert texts(events) == "Yes"
    assert "".join(each.reasoning for each in events if isinstance(each, Token)) == "Hmm. "
    assert events[-1].reasoning_tokens == 1  # type: ignore[union-attr]


def test_reasoning_in_tags_is_separated(fake: FakeServer, connect: Any) -> None:
    fake.script(say("<think>", "Hmm", "</think>", "Yes"))
    events = run(connect(fake.url), ask())
    assert texts(events) == "Yes"
    assert "".join(each.reasoning for each in events if isinstance(each, Token)) == "Hmm"


@pytest.mark.parametrize(
    ("owner", "thinking", "expected"),
    [
        ("someone", "low", {"reasoning_effort": "low"}),
        ("someone", True, {"reasoning_effort": "medium"}),
        ("someone", False, {"reasoning_effort": "none"}),
        ("vllm", False, {"enable_thinking": False, "thinking": False}),
    ],
)
def test_reasoning_is_switched(
    fake: FakeServer, connect: Any, owner: str, thinking: Any, expected: dict[str, Any]
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner=owner))
    run(connect(fake.url), ask(Prompt(messages=HELLO.messages, thinking=thinking)))
    sent = fake.bodies[0]
    assert {**sent, **sent.get("chat_template_kwargs", {})}.items() >= expected.items()


def test_logprobs_become_those_of_the_tokens(fake: FakeServer, connect: Any) -> None:
    def entry(token: str, logprob: float, *top: Any) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": list(top)}

    def respond(exchange: Exchange) -> None:
        exchange.start()
        content = [entry("He", -0.1, entry("He", -0.1), entry("Hi", -2.5)), entry("llo", -0.2)]
        document = chunk("Hello", finish="stop")
        document["choices"][0]["logprobs"] = {"content": content}
        exchange.event(document)
        exchange.done()

    fake.script(respond)
    events = run(connect(fake.url), ask(logprobs=2))
    tokens = [each for each in events if isinstance(each, Token)]
    assert [each.text for each in tokens] == ["He", "llo"]
    first = tokens[0].logprob
    assert first is not None and tokens[1].logprob is not None
    assert [(top.token, top.logprob) for top in first.top] == [("He", -0.1), ("Hi", -2.5)]
    assert tokens[1].logprob.logprob == -0.2
    assert (fake.bodies[0]["logprobs"], fake.bodies[0]["top_logprobs"]) == (True, 2)


SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}})


@pytest.mark.parametrize(
    ("owner", "kind", "source", "expected"),
    [
        (
            "someone",
            "json_schema",
            SCHEMA,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "reply", "schema": json.loads(SCHEMA), "strict": True},
                }
            },
        ),
        ("vllm", "regex", "a|b", {"structured_outputs": {"regex": "a|b"}}),
        ("vllm", "gbnf", 'root ::= "a"', {"structured_outputs": {"grammar": 'root ::= "a"'}}),
        ("llamacpp", "gbnf", 'root ::= "a"', {"grammar": 'root ::= "a"'}),
        ("llamacpp", "regex", "a+", {"grammar": 'root ::= ("\\U00000061")+'}),
        (
            "me",
            "json_schema",
            SCHEMA,
            {"response_format": {"type": "json_object", "schema": json.loads(SCHEMA)}},
        ),
        ("sglang", "regex", "a|b", {"regex": "a|b"}),
    ],
)
def test_constraint_is_sent_in_the_form_of_the_server(
    fake: FakeServer, connect: Any, owner: str, kind: Any, source: str, expected: dict[str, Any]
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner=owner))
    run(connect(fake.url), ask(constraint=Constraint(kind, source)))
    assert fake.bodies[0].items() >= expected.items()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ask(Prompt(text="a", adapters=(Adapter("a.gguf"),))), "lora=: not supported by the serv"),
        (ask(Prompt(token_ids=(1, 2))), "the server gpu does not accept the ids of tokens"),
        (ask(Prompt(text="a", suffix="b")), "does not fill in the middle"),
        (ask(logit_bias={" hello": 1.0}), "the server needs the id of the token"),
        (Request(prompt=Prompt(text="a"), echo=True), "echo=: not supported"),
    ],
    ids=["adapter", "ids", "suffix", "bias", "echo"],
)
def test_what_the_server_lacks_is_an_error_before_anything_is_sent(
    fake: FakeServer, connect: Any, request_: Request, message: str
) -> None:
    found = error(run(connect(fake.url), request_))
    assert isinstance(found, UsageError) and message in str(found)
    assert fake.received == []


@pytest.mark.parametrize(
    ("owner", "last", "flags"),
    [
        ("llmtool", {"role": "assistant", "content": "Well,"}, {}),
        (
            "vllm",
            {"role": "assistant", "content": "Well,"},
            {"continue_final_message": True, "add_generation_prompt": False},
        ),
        (
            "someone",
            {
                "role": "user",
                "content": "Say hello\n\nBegin the reply with exactly this text:\nWell,",
            },
            {},
        ),
    ],
)
def test_prefill_is_sent_in_the_form_of_the_server(
    fake: FakeServer, connect: Any, owner: str, last: dict[str, str], flags: dict[str, bool]
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner=owner))
    run(connect(fake.url), ask(Prompt(messages=HELLO.messages, prefill="Well,")))
    assert fake.bodies[0]["messages"][-1] == last
    assert fake.bodies[0].items() >= flags.items()


@pytest.mark.parametrize(
    ("owner", "prefill", "parts", "expected"),
    [
        ("llamacpp", "Well,", ("We", "ll", ", hello"), " hello"),
        ("llamacpp", "Well,", (" hello",), " hello"),
        (
            "someone",
            "```\n",
            (
                "```py",
                "thon\na = 1\n```",
            ),
            "a = 1\n```",
        ),
        ("someone", "```python\n", ("```\na = 1\n```",), "a = 1\n```"),
        ("someone", "Well,", ("We",), "We"),
        ("llmtool", "ha", ("ha",), "ha"),
    ],
)
def test_prefill_that_the_server_repeats_is_removed(
    fake: FakeServer, connect: Any, owner: str, prefill: str, parts: tuple[str, ...], expected: str
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner=owner))
    fake.script(say(*parts))
    events = run(connect(fake.url), ask(Prompt(messages=HELLO.messages, prefill=prefill)))
    assert texts(events) == expected


def test_constraint_of_a_task_that_the_server_lacks_is_not_sent(
    fake: FakeServer, connect: Any
) -> None:
    run(connect(fake.url), ask(constraint=Constraint("regex", "a|b")))
    assert fake.bodies[0].keys() & {"response_format", "regex", "structured_outputs"} == set()


def test_choices_have_seeds_in_order(fake: FakeServer, connect: Any) -> None:
    def respond(exchange: Exchange) -> None:
        exchange.start()
        for index, text in ((1, "second"), (0, "first")):
            exchange.event(chunk(text, index=index, finish="stop"))
        exchange.event(usage(5, 2))
        exchange.done()

    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="vllm"))
    fake.script(respond)
    events = run(connect(fake.url), ask(n=2, seed=7))
    ends = [each for each in events if isinstance(each, Finished)]
    assert [(end.choice, end.seed, end.usage.completion_tokens) for end in ends] == [
        (0, 7, 1),
        (1, 8, 1),
    ]
    assert [(e.choice, e.text) for e in events if isinstance(e, Token)] == [
        (1, "second"),
        (0, "first"),
    ]
    assert fake.bodies[0]["n"] == 2


def test_choices_that_a_server_leaves_out_are_requested_one_by_one(
    fake: FakeServer, connect: Any
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="vllm"))
    fake.script(say("first"), say("second"), say("third"))
    events = run(connect(fake.url), ask(n=3, seed=7))
    ends = [each for each in events if isinstance(each, Finished)]
    assert [(end.choice, end.seed) for end in ends] == [(0, 7), (1, 8), (2, 9)]
    assert [body["seed"] for body in fake.bodies] == [7, 8, 9]
    assert texts(events) == "firstsecondthird"


def test_requests_run_at_once_but_no_more_than_allowed(fake: FakeServer, connect: Any) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def respond(exchange: Exchange) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:  # before the reply, after which the client may send the next request
            running -= 1
        say(exchange.request.body["messages"][0]["content"])(exchange)

    fake.script(respond)
    requests = [ask(Prompt(messages=(Message("user", str(i)),)), id=i) for i in range(40)]
    events = run(connect(fake.url, concurrency=4), *requests)
    found = {event.id: event.text for event in events if isinstance(event, Token)}
    assert found == {i: str(i) for i in range(40)}
    assert most == 4


def test_requests_are_read_as_needed(fake: FakeServer, connect: Any) -> None:
    n_read = 0

    def endless() -> Any:
        nonlocal n_read
        while True:
            n_read += 1
            yield ask(id=n_read)

    events = connect(fake.url, concurrency=2).stream(endless())
    for _ in range(5):
        next(events)
    events.close()
    assert n_read < 30


def test_cancelled_stream_closes_its_request(fake: FakeServer, connect: Any) -> None:
    closed = threading.Event()

    def respond(exchange: Exchange) -> None:
        exchange.start()
        try:
            while True:
                exchange.event(chunk("a"))
                time.sleep(0.01)
        except OSError:
            closed.set()

    fake.script(respond)
    cancellation = Cancellation()
    events = connect(fake.url, cancellation=cancellation).stream([ask()])
    assert next(events).text == "a"
    cancellation.cancel()
    with pytest.raises(Cancelled):
        list(events)
    assert closed.wait(10)
    assert wait_until(lambda: fake.n_open == 0)


def test_request_with_a_cancellation_of_its_own_stops_alone(fake: FakeServer, connect: Any) -> None:
    def respond(exchange: Exchange) -> None:
        if exchange.request.body["messages"][0]["content"] == "wait":
            time.sleep(30)
        say("done")(exchange)

    fake.script(respond)
    stop = Cancellation()
    waiting = Request(prompt=Prompt(messages=(Message("user", "wait"),)), id=1, cancellation=stop)
    events = connect(fake.url).stream([waiting, ask(id=2)])
    assert next(events).id == 2
    stop.cancel()
    assert isinstance(error(list(events)), Cancelled)


def test_failed_request_in_the_source_is_passed_on(fake: FakeServer, connect: Any) -> None:
    failed = Failed(7, UsageError("bad"))
    assert list(connect(fake.url).stream([failed])) == [failed]


@pytest.mark.parametrize("name", ["tiny", "tiny.gguf", "/models/tiny.gguf", ""])
def test_model_of_a_file_is_found_by_its_name(fake: FakeServer, connect: Any, name: str) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("/models/tiny.gguf", owner="x"))
    fake.script(say("Hello", model="/models/tiny.gguf"))
    run(connect(fake.url, name), ask())
    assert fake.bodies[0]["model"] == "/models/tiny.gguf"


def test_limits_are_those_that_the_server_reports(fake: FakeServer, connect: Any) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("a/b-7B", max_model_len=1000))
    info = connect(fake.url, "a/b-7B").info
    assert (info.n_ctx, info.n_params) == (1000, 7_000_000_000)
    fake.models = lambda exchange: exchange.send(body=listed("a"))
    assert connect(fake.url, "a", n_ctx=500).info.n_ctx == 500


def test_prompt_that_is_too_long_for_the_reported_context_is_an_error(
    fake: FakeServer, connect: Any
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("a", max_model_len=1000))
    with pytest.raises(ContextOverflow, match="need 1,100 tokens, but the context of the server"):
        connect(fake.url, "a").check_length(900, 200)
    fake.models = lambda exchange: exchange.send(body=listed("a"))
    assert connect(fake.url, "a").check_length(90_000, 200)[0] == 200


def test_waits_of_several_requests_are_reported_once(fake: FakeServer, connect: Any) -> None:
    fake.script(*[fail(429, Retry_After="2")] * 4, say("Hello"))
    notes: list[str] = []
    run(connect(fake.url, notes=notes), *(ask(id=i) for i in range(4)))
    assert len(notes) == 1 and "too many requests; try again later; retrying in 2 s" in notes[0]


def test_certificates_are_read_only_for_an_encrypted_connection(
    fake: FakeServer, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ssl.SSLContext] = []

    def make_context(**options: Any) -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", make_context)
    assert texts(run(connect(fake.url), ask())) == "Hello!"
    assert made == []
    with pytest.raises(LlmtoolError, match="does not use TLS"):
        connect(fake.url.replace("http:", "https:"))
    assert len(made) == 1
