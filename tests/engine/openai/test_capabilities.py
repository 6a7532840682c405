"""Which program a server runs, by the list of its models as each program writes it."""

from __future__ import annotations

from typing import Any

import pytest
from fake_server import Exchange, FakeServer

from llmtool.cancellation import Cancellation
from llmtool.engine.openai.capabilities import ServerInfo, detect
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.types import Message, Prompt, ScoreRequest

VLLM = {
    "id": "Qwen/Qwen3-8B",
    "object": "model",
    "created": 1764500000,
    "owned_by": "vllm",
    "root": "Qwen/Qwen3-8B",
    "parent": None,
    "max_model_len": 40960,
    "permission": [{"id": "modelperm-1", "object": "model_permission", "is_blocking": False}],
}
LLAMA_SERVER = {
    "id": "m.gguf",
    "aliases": ["m.gguf"],
    "tags": [],
    "object": "model",
    "created": 1764500000,
    "owned_by": "llamacpp",
    "meta": {
        "vocab_type": 2,
        "n_vocab": 49152,
        "n_ctx": 2048,
        "n_ctx_train": 8192,
        "n_embd": 576,
        "n_params": 134515008,
        "size": 89941248,
        "ftype": "Q4_0",
    },
}
PROGRAMS = {
    "vllm": VLLM,
    "llama.cpp": LLAMA_SERVER,
    "llama-cpp-python": {"id": "m.gguf", "object": "model", "owned_by": "me", "permissions": []},
    "sglang": {
        "id": "Qwen/Qwen3-8B",
        "object": "model",
        "created": 1764500000,
        "owned_by": "sglang",
        "root": "Qwen/Qwen3-8B",
        "parent": None,
        "max_model_len": 40960,
    },
    "lmstudio": {"id": "qwen3-8b", "object": "model", "owned_by": "organization_owner"},
    "ollama": {
        "id": "qwen3:8b",
        "object": "model",
        "created": 1764500000,
        "owned_by": "library",
    },
    "other": {"id": "gpt-4o", "object": "model", "created": 1764500000, "owned_by": "system"},
}


def look(fake: FakeServer, *entries: dict[str, Any]) -> ServerInfo:
    fake.models = lambda exchange: exchange.send(body={"object": "list", "data": list(entries)})
    connection = Connection(Endpoint(name="gpu", base_url=fake.url), concurrency=1)
    try:
        return connection.run(detect(connection), Cancellation().check)
    finally:
        connection.close()


@pytest.mark.parametrize("kind", PROGRAMS)
def test_program_is_found_by_the_list_of_models(fake: FakeServer, kind: str) -> None:
    found = look(fake, PROGRAMS[kind])
    assert found.kind == kind
    assert found.models is not None
    assert [each.name for each in found.models] == [PROGRAMS[kind]["id"]]


@pytest.mark.parametrize(
    ("entry", "props", "n_ctx"),
    [(VLLM, {}, 40960), (LLAMA_SERVER, {}, 2048), (LLAMA_SERVER, {"n_ctx": 512}, 512)],
    ids=["vllm", "llama-server", "slots of llama-server"],
)
def test_context_length_is_that_of_one_request(
    fake: FakeServer, entry: dict[str, Any], props: dict[str, Any], n_ctx: int
) -> None:
    document = {"default_generation_settings": props, "total_slots": 4}
    fake.answer["/props"] = lambda exchange: exchange.send(body=document)
    assert look(fake, entry).find(Endpoint(name="gpu", base_url=fake.url), "").n_ctx == n_ctx


def test_other_weights_of_the_same_name_are_another_model(fake: FakeServer) -> None:
    def about(**meta: int) -> str:
        entry = {**LLAMA_SERVER, "meta": {**LLAMA_SERVER["meta"], **meta}}
        endpoint = Endpoint(name="gpu", base_url=fake.url)
        return look(fake, entry).find(endpoint, "m.gguf").about

    assert about() == about(n_ctx=512)
    assert about() != about(size=1)


def test_labels_are_scored_by_the_prompts_that_vllm_echoes(fake: FakeServer, connect: Any) -> None:
    """Tokens are characters; the template has no special tokens."""

    def tokenize(exchange: Exchange) -> None:
        body = exchange.request.body
        text = body.get("prompt") or "".join(each["content"] for each in body["messages"])
        ids = [ord(each) for each in text]
        counts = {"count": len(ids), "max_model_len": 40960}
        exchange.send(body={**counts, "tokens": ids, "token_strs": None})

    def complete(exchange: Exchange) -> None:
        choices = []
        for index, ids in enumerate(exchange.request.body["prompt"]):
            values = [None, *(-id / 100 for id in ids[1:])]
            tokens = [chr(id) for id in ids]
            logprobs = {
                "text_offset": list(range(len(ids))),
                "token_logprobs": values,
                "tokens": tokens,
                "top_logprobs": [v and {t: v} for t, v in zip(tokens, values, strict=True)],
            }
            ends = {"finish_reason": "length", "stop_reason": None, "prompt_logprobs": None}
            choices.append({"index": index, "text": "".join(tokens), "logprobs": logprobs, **ends})
        base = {"id": "cmpl-1", "object": "text_completion", "model": VLLM["id"]}
        exchange.send(body={**base, "choices": choices[::-1]})

    fake.models = lambda exchange: exchange.send(body={"object": "list", "data": [VLLM]})
    fake.answer |= {"/tokenize": tokenize, "/v1/completions": complete}
    prompt = Prompt(messages=(Message("user", "Hi"),), prefill="A:")
    engine = connect(fake.url, VLLM["id"])
    (scores,) = engine.score([ScoreRequest(prompt=prompt, candidates=(" a", " bc"))])
    expected = [tuple(-ord(each) / 100 for each in text) for text in (" a", " bc")]
    assert scores.logprobs == tuple(map(pytest.approx, expected))
    asked = next(each.body for each in fake.received if "messages" in each.body)
    assert asked.items() >= {"continue_final_message": True, "add_generation_prompt": False}.items()
    assert asked["chat_template_kwargs"]["enable_thinking"] is False
