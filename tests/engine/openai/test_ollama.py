"""Ollama's own API: what is sent, and what its replies become."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from fake_server import Exchange, FakeServer, listed, texts

from llmtool.engine.types import Failed, Finished, Message, Prompt, Request, Sampling, ScoreRequest
from llmtool.errors import ContextOverflow, ModelNotFound, ServerError, UsageError
from llmtool.structured.constraint import Constraint

HELLO = Prompt(messages=(Message("user", "Say hello"),))
SHOWN = {
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 1235814432,
        "llama.context_length": 32768,
    },
    "capabilities": ["completion"],
}


def lines(*parts: dict[str, Any], **last: Any) -> Any:
    """Return a response of `/api/chat` or `/api/generate`, line by line."""

    def respond(exchange: Exchange) -> None:
        exchange.start(kind="application/x-ndjson")
        common = {"model": "llama3.2:latest", "created_at": "2026-01-01T00:00:00Z"}
        counts = {"prompt_eval_count": 11, "eval_count": len(parts)}
        end = {"done": True, "done_reason": "stop", "total_duration": 9, **counts, **last}
        for part in (*parts, end):
            exchange.write(json.dumps({**common, "done": False, **part}).encode() + b"\n")

    return respond


def say(*texts: str, **last: Any) -> Any:
    messages = [{"message": {"role": "assistant", "content": text}} for text in texts]
    return lines(*messages, message={"role": "assistant", "content": ""}, **last)


@pytest.fixture
def ollama(fake: FakeServer) -> FakeServer:
    fake.models = lambda exchange: exchange.send(body=listed("llama3.2:latest", owner="library"))
    entry = {"name": "llama3.2:latest", "model": "llama3.2:latest", "digest": "a80c4f17"}
    fake.answer |= {
        "/api/tags": lambda exchange: exchange.send(body={"models": [entry]}),
        "/api/show": lambda exchange: exchange.send(body=SHOWN),
        "/api/chat": say("Hello", "!"),
    }
    return fake


def run(engine: Any, prompt: Prompt = HELLO, *, n: int = 1, **sampling: Any) -> Any:
    events = list(engine.stream([Request(prompt=prompt, sampling=Sampling(**sampling), n=n)]))
    for event in events:
        if isinstance(event, Failed):
            raise event.error
    return events


def sent(fake: FakeServer) -> list[Any]:
    return [each.body for each in fake.received if each.path != "/api/show"]


def test_chat_has_the_options_of_ollama(ollama: FakeServer, connect: Any) -> None:
    engine = connect(ollama.url, "llama3.2")
    *tokens, end = run(engine, temperature=0.5, seed=3, max_tokens=9, stop=("END",))
    assert texts(tokens) == "Hello!"
    assert isinstance(end, Finished)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (11, 2)
    (body,) = sent(ollama)
    options = body.pop("options")
    assert body == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "Say hello"}],
        "stream": True,
        "truncate": False,
        "shift": False,
    }
    assert options.items() >= {"temperature": 0.5, "seed": 3, "top_k": 40, "min_p": 0.05}.items()
    assert (options["num_predict"], options["num_ctx"], options["stop"]) == (9, 4096, ["END"])


def test_limits_and_identity_of_the_model_are_those_that_ollama_reports(
    ollama: FakeServer, connect: Any
) -> None:
    info = connect(ollama.url, "llama3.2").info
    assert (info.n_ctx, info.n_params) == (32768, 1235814432)


def test_context_is_as_long_as_requests_need(ollama: FakeServer, connect: Any) -> None:
    engine = connect(ollama.url, "llama3.2")
    for n_words in (10, 5000, 10, 14000):
        run(engine, Prompt(messages=(Message("user", "word " * n_words),)), max_tokens=9)
    assert [body["options"]["num_ctx"] for body in sent(ollama)] == [4096, 16384, 16384, 32768]


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (say("Hello", prompt_eval_count=4096), "truncated the prompt to its context of 4,096"),
        (
            lambda exchange: exchange.send(
                400, {"error": "the input length exceeds the context length"}
            ),
            "the input length exceeds the context length",
        ),
    ],
    ids=["truncated", "rejected"],
)
def test_truncated_prompt_is_an_error(
    ollama: FakeServer, connect: Any, respond: Any, message: str
) -> None:
    ollama.answer["/api/chat"] = respond
    with pytest.raises(ContextOverflow, match=message):
        run(connect(ollama.url, "llama3.2"))


def test_text_is_continued_without_a_template(ollama: FakeServer, connect: Any) -> None:
    ollama.answer["/api/generate"] = lines({"response": " there"}, response="")
    engine = connect(ollama.url, "llama3.2")
    assert texts(run(engine, Prompt(text="Hello"))) == " there"
    run(engine, Prompt(text="Hello", suffix="!"))
    first, second = sent(ollama)
    assert (first["prompt"], first["raw"]) == ("Hello", True)
    assert (second["prompt"], second["suffix"], second["raw"]) == ("Hello", "!", False)


def test_schema_is_the_format(ollama: FakeServer, connect: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    run(connect(ollama.url, "llama3.2"), constraint=Constraint("json_schema", json.dumps(schema)))
    (body,) = sent(ollama)
    assert body["format"] == schema


@pytest.mark.parametrize("thinking", [True, False, "low"])
def test_reasoning_is_switched_and_separate(
    ollama: FakeServer, connect: Any, thinking: Any
) -> None:
    ollama.answer["/api/chat"] = lines(
        {"message": {"role": "assistant", "content": "", "thinking": "Hmm"}},
        {"message": {"role": "assistant", "content": "Yes"}},
        done_reason="length",
    )
    engine = connect(ollama.url, "llama3.2")
    *tokens, end = run(engine, Prompt(messages=HELLO.messages, thinking=thinking))
    assert (texts(tokens), tokens[0].reasoning, end.finish_reason) == ("Yes", "Hmm", "length")
    (body,) = sent(ollama)
    assert body["think"] == thinking


def test_labels_are_scored_by_the_most_likely_tokens(ollama: FakeServer, connect: Any) -> None:
    top = [{"token": "yes", "logprob": math.log(0.7)}, {"token": "no", "logprob": math.log(0.2)}]
    message = {"role": "assistant", "content": "yes"}
    respond = lines({"message": message, "logprobs": [{**top[0], "top_logprobs": top}]})
    ollama.answer["/api/chat"] = respond
    engine = connect(ollama.url, "llama3.2")
    (scores,) = engine.score([ScoreRequest(prompt=HELLO, candidates=("yes", "no"))])
    assert [math.exp(total) for total in scores.totals] == pytest.approx([0.7, 0.2])
    (body,) = sent(ollama)
    assert (body["logprobs"], body["top_logprobs"], body["think"]) == (True, 20, False)


@pytest.mark.parametrize(
    ("respond", "kind", "message"),
    [
        (
            lambda exchange: exchange.send(404, {"error": "model 'llama3.2' not found"}),
            ModelNotFound,
            "no model 'llama3.2'",
        ),
        (lines({"error": "llama runner failed"}), ServerError, "llama runner failed"),
        (lines(message=None, done=False), ServerError, "ended the reply after 0 tokens"),
    ],
    ids=["model", "line", "cut"],
)
def test_failure_of_ollama_is_an_error(
    ollama: FakeServer, connect: Any, respond: Any, kind: Any, message: str
) -> None:
    ollama.answer["/api/chat"] = respond
    with pytest.raises(kind, match=message):
        run(connect(ollama.url, "llama3.2"))


def test_bias_of_tokens_is_an_error_before_anything_is_sent(
    ollama: FakeServer, connect: Any
) -> None:
    with pytest.raises(UsageError, match="logit_bias.*not supported by Ollama"):
        run(connect(ollama.url, "llama3.2"), logit_bias={"15": -1.0})
    assert sent(ollama) == []
