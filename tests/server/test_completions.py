"""`POST /v1/completions`: continuations, several prompts, token ids, scores of prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running_server import Serve

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Prompt, ScoreRequest, Scores
from llmtool.server import generation

PATH = "/v1/completions"
TEXT = "the quick brown fox jumps over a lazy dog"


def test_a_text_is_continued(serve: Serve) -> None:
    engine = ScriptedEngine(" upon a time")
    reply = serve(engine).post(PATH, {"prompt": "Once"}).json()
    assert reply["object"] == "text_completion"
    assert reply["choices"] == [
        {"index": 0, "text": " upon a time", "logprobs": None, "finish_reason": "stop"}
    ]
    assert engine.prompts == ["Once"]


def test_echo_begins_with_the_prompt(serve: Serve) -> None:
    server = serve(ScriptedEngine(" b"))
    reply = server.post(PATH, {"prompt": ["a", "x"], "echo": True, "n": 2}).json()
    assert [each["text"] for each in reply["choices"]] == ["a b", "a b", "x b", "x b"]
    assert [each["index"] for each in reply["choices"]] == [0, 1, 2, 3]
    assert reply["usage"]["prompt_tokens"] == 2


def test_logprobs_of_a_prompt_count_for_each_reply(
    tiny: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": TEXT, "echo": True, "max_tokens": 0, "logprobs": 1}
    server = serve(tiny)
    monkeypatch.setattr(generation, "MAX_LOGPROBS", 2 * len(TEXT))
    assert server.post(PATH, body).status_code == 200
    assert server.post(PATH, {**body, "n": 8}).json()["error"]["param"] == "logprobs"


def test_max_tokens_is_sixteen_by_default(tiny: Path, serve: Serve) -> None:
    reply = serve(tiny).post(PATH, {"prompt": TEXT, "temperature": 1, "seed": 1}).json()
    assert reply["usage"]["completion_tokens"] <= 16


def test_the_scores_of_a_prompt_are_those_of_the_engine(tiny: Path, serve: Serve) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    context, rest = TEXT[:20], TEXT[20:]
    (scores,) = engine.score([ScoreRequest(prompt=Prompt(text=context), candidates=(rest,))])
    assert isinstance(scores, Scores)
    n_context = len(engine.tokenize(Prompt(text=context)).token_ids)
    ids = engine.tokenize(Prompt(text=TEXT)).token_ids
    engine.close()
    server = serve(tiny)
    for prompt in (TEXT, list(ids)):
        body = {"prompt": prompt, "echo": True, "max_tokens": 0, "logprobs": 1}
        (choice,) = server.post(PATH, body).json()["choices"]
        assert choice["text"] == TEXT
        found = choice["logprobs"]
        assert found["token_logprobs"][0] is None
        assert found["top_logprobs"][0] is None
        assert len(found["tokens"]) == len(found["text_offset"]) == len(ids)
        assert "".join(found["tokens"]) == TEXT
        assert sum(found["token_logprobs"][n_context:]) == pytest.approx(scores.totals[0], abs=1e-3)
        for token, logprob, top in zip(
            *[iter(found["tokens"][1:]), found["token_logprobs"][1:], found["top_logprobs"][1:]],
            strict=True,
        ):
            assert top[token] >= logprob


def test_an_end_token_is_scored_with_echo(tiny: Path, serve: Serve) -> None:
    """Harnesses request one token and drop the last score, so there has to be one."""
    server = serve(tiny)
    (end,) = server.post("/tokenize", {"content": "<|im_end|>"}).json()["tokens"]
    body = {"prompt": TEXT, "echo": True, "max_tokens": 1, "logprobs": 1, "temperature": 0}
    body["logit_bias"] = {str(end): 100}
    (choice,) = server.post(PATH, body).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == (TEXT, "stop")
    n_prompt = len(server.post("/tokenize", {"content": TEXT}).json()["tokens"])
    assert len(choice["logprobs"]["token_logprobs"]) == n_prompt + 1
    assert choice["logprobs"]["token_logprobs"][-1] < 0
    (choice,) = server.post(PATH, {**body, "echo": False}).json()["choices"]
    assert choice["logprobs"]["tokens"] == []


def test_logprobs_zero_reports_the_tokens_themselves(tiny: Path, serve: Serve) -> None:
    body = {"prompt": TEXT, "max_tokens": 3, "logprobs": 0}
    found = serve(tiny).post(PATH, body).json()["choices"][0]["logprobs"]
    assert all(len(top) == 1 for top in found["top_logprobs"])


def test_a_stream_has_the_chunks_of_each_prompt(serve: Serve) -> None:
    server = serve(ScriptedEngine(" b c"))
    body: dict[str, Any] = {"prompt": ["a", "x"], "echo": True, "stream": True}
    lines = [line for line in server.post(PATH, body).text.split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    texts = ["", ""]
    for line in lines:
        (choice,) = json.loads(line.removeprefix("data: "))["choices"]
        texts[choice["index"]] += choice["text"]
    assert texts == ["a b c", "x b c"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt"),
        ({"prompt": [[1, 10**9]]}, "prompt"),
        ({"prompt": [[]]}, None),
        ({"best_of": 3}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": [[1]], "suffix": "x"}, "suffix"),
        ({"logprobs": -1}, "logprobs"),
    ],
)
def test_invalid_requests_are_errors(
    tiny: Path, serve: Serve, change: dict[str, Any], param: str | None
) -> None:
    response = serve(tiny).post(PATH, {"prompt": TEXT, **change})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
