"""Messages of the private socket: every request, event and error arrives unchanged."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool import errors
from llmtool.engine.socket.protocol import (
    MAX_FRAME_BYTES,
    Channel,
    ClientMessage,
    EndOfStream,
    ProtocolError,
    ServerMessage,
    Submit,
    from_error,
    to_error,
    to_event,
    to_item,
    to_message,
)
from llmtool.engine.types import (
    MAX_COUNT,
    MAX_SEED,
    Adapter,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Timings,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError, TimeoutExpired
from llmtool.structured.constraint import Constraint

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 2**40)
floats = st.floats(allow_nan=False)
sampling = st.builds(
    Sampling,
    logit_bias=st.dictionaries(texts, floats, max_size=3),
    temperature=floats,
    seed=st.none() | st.integers(0, MAX_SEED),
    max_tokens=st.none() | st.integers(0, MAX_COUNT),
    stop=st.lists(texts, max_size=3).map(tuple),
    constraint=st.none()
    | st.builds(Constraint, st.sampled_from(["json_schema", "regex", "gbnf"]), texts),
    logprobs=st.integers(0, 100),
).filter(lambda each: all(abs(bias) <= 100 for bias in each.logit_bias.values()))
sampling = sampling.filter(lambda each: 0 <= each.temperature <= 100)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
adapters = st.builds(Adapter, st.just(os.path.abspath("a.gguf")), floats)
prompts = st.builds(
    Prompt,
    messages=st.lists(messages, max_size=3).map(tuple),
    text=st.none() | texts,
    token_ids=st.none() | st.lists(numbers, max_size=4).map(tuple),
    suffix=st.none() | texts,
    prefill=texts,
    thinking=st.sampled_from([None, True, False, "low", "medium", "high"]),
    probe=st.lists(messages, max_size=2).map(tuple),
    n_fixed=st.none() | numbers,
    languages=st.none() | st.tuples(texts, texts),
    adapters=st.none()
    | st.lists(st.builds(Adapter, st.just(os.path.abspath("a.gguf")), floats), max_size=2).map(
        tuple
    ),
    continues=st.booleans(),
)
requests = st.builds(
    Request,
    prompt=prompts,
    sampling=sampling,
    n=st.integers(1, 9),
    keep=st.booleans(),
    echo=st.booleans(),
) | st.builds(
    ScoreRequest,
    prompt=prompts,
    candidates=st.lists(texts, min_size=1, max_size=3).map(tuple),
    end=st.booleans(),
)
logprobs = st.builds(
    TokenLogprob,
    token=texts,
    bytes=st.lists(st.integers(0, 255), max_size=4).map(tuple),
    logprob=st.none() | floats,
)
usages = st.builds(Usage, prompt_tokens=numbers, cached_tokens=numbers, completion_tokens=numbers)
timings = st.builds(Timings, prefill_seconds=floats, decode_seconds=floats, first_token_at=floats)
events = (
    st.builds(
        Token,
        numbers,
        numbers,
        text=texts,
        reasoning=texts,
        logprob=st.none() | logprobs,
        prompt_logprob=st.none() | logprobs,
    )
    | st.builds(
        Finished,
        id=numbers,
        choice=numbers,
        finish_reason=st.sampled_from(["stop", "length"]),
        usage=usages,
        timings=timings,
        seed=numbers,
        ended_repetition=st.booleans(),
        stop_string=st.none() | texts,
    )
    | st.builds(
        Scores,
        id=numbers,
        logprobs=st.lists(st.lists(floats, max_size=3).map(tuple), max_size=3).map(tuple),
        usage=usages,
        timings=timings,
    )
)


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[Channel, Channel]]:
    """A client and a server."""
    client, server = socket.socketpair()
    yield Channel(client, ServerMessage), Channel(server, ClientMessage)
    client.close()
    server.close()


@given(requests=st.lists(requests, max_size=3))
def test_requests_arrive_unchanged(
    requests: list[Request | ScoreRequest], ends: tuple[Channel, Channel]
) -> None:
    client, server = ends
    client.send(Submit(tuple(to_item(each, i) for i, each in enumerate(requests)), True))
    items = server.receive().items
    assert [item.request.id for item in items] == list(range(len(requests)))
    assert [to_item(item.request, 0).request for item in items] == requests


@given(event=events)
def test_events_arrive_unchanged(event: Token, ends: tuple[Channel, Channel]) -> None:
    client, server = ends
    server.send(to_message(event))
    assert to_event(client.receive()) == event


ERRORS: list[LlmtoolError] = [
    ContextOverflow("too long", needed=9, available=8),
    Cancelled("cancelled", reason=2),
    TimeoutExpired("late", seconds=1.5),
    *(
        kind("message")
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, LlmtoolError)
        and kind not in (ContextOverflow, TimeoutExpired)
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_arrive_unchanged(error: LlmtoolError, ends: tuple[Channel, Channel]) -> None:
    client, server = ends
    server.send(EndOfStream(to_error(error)))
    found = from_error(client.receive().error)
    assert type(found) is type(error)
    assert (str(found), vars(found)) == (str(error), vars(error))
    server.send(to_message(Failed(3, error)))
    assert client.receive().id == 3


def test_many_messages_in_one_read_arrive_in_order(ends: tuple[Channel, Channel]) -> None:
    client, server = ends
    for i in range(100):
        server.send(to_message(Token(i, 0, "text")))
    assert [to_event(client.receive()).id for _ in range(100)] == list(range(100))


def test_waiting_for_a_message_has_a_time_limit(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        ends[0].receive(timeout=0.01)


def test_length_of_a_message_is_limited() -> None:
    client, server = socket.socketpair()
    with client, server:
        client.sendall(struct.pack(">I", MAX_FRAME_BYTES + 1))
        channel = Channel(server, ClientMessage)
        with pytest.raises(ProtocolError, match="a message of 268435457 bytes"):
            channel.receive(timeout=5)
