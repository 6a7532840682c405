"""Batch files of a task: their requests, and results of several programs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from llmtool.batch.request_files import find_results
from llmtool.batch_jobs import Job, JobWriter, RequestCollector, ResultEngine, encode_request
from llmtool.config import Kind, Settings
from llmtool.engine.openai.capabilities import FEATURES
from llmtool.engine.openai.scoring import label_request
from llmtool.engine.types import (
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
)
from llmtool.errors import ExitCode, InputError, UsageError
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.prepare import Case

MODEL = "small"
SCHEMA = Constraint("json_schema", '{"type":"object","properties":{"n":{"type":"integer"}}}')


def make_request(number: int = 0, **sampling: Any) -> Request:
    sampling = {"temperature": 0.0, "max_tokens": 8, **sampling}
    messages = (Message("system", "Be brief."), Message("user", f"Say {number}"))
    return Request(id=number, prompt=Prompt(messages=messages), sampling=Sampling(**sampling))


def id_of(request: Request, kind: Kind = "other") -> str:
    return f"{request.id}-{encode_request(request, model=MODEL, kind=kind)[0]}"


def reply(content: str | None = "fine", reason: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, **message},
        "logprobs": None,
        "finish_reason": reason,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"{MODEL}-2025-01-01",
        "choices": [choice],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }


def result(custom_id: str, body: object, status: int = 200, error: object = None) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "req_1", "body": body}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": error}


def write(path: Path, results: list[Any]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in results))
    return str(path)


def answer(path: str, *requests: Request) -> list[Any]:
    return list(ResultEngine([path], model=MODEL, kind="other").stream(requests))


def test_the_body_has_messages_sampling_and_the_schema() -> None:
    request = make_request(3, constraint=SCHEMA, stop=("END",), frequency_penalty=0.5)
    digest, url, body = encode_request(request, model=MODEL, kind="other")
    assert len(digest) == 16 and url == "/v1/chat/completions"
    assert json.loads(body) == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say 3"},
        ],
        "temperature": 0.0,
        "max_tokens": 8,
        "frequency_penalty": 0.5,
        "stop": ["END"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "reply",
                "schema": json.loads(SCHEMA.source),
                "strict": True,
            },
        },
    }


def test_the_body_depends_on_the_program_and_on_the_seed() -> None:
    request = make_request(temperature=1.0, seed=5, top_k=3)
    bodies: dict[Kind, Mapping[str, Any]] = {}
    for kind in ("openai", "vllm"):
        bodies[kind] = json.loads(encode_request(request, model=MODEL, kind=kind)[2])
    assert bodies["openai"]["max_completion_tokens"] == 8 and "top_k" not in bodies["openai"]
    assert bodies["vllm"]["top_k"] == 3 and bodies["vllm"]["seed"] == 5
    random_one = encode_request(make_request(temperature=1.0), model=MODEL, kind="other")[2]
    assert "seed" not in json.loads(random_one) and "stream" not in json.loads(random_one)


def test_a_text_to_continue_is_a_completion() -> None:
    request = Request(prompt=Prompt(text="Once"), sampling=Sampling(max_tokens=3))
    _, url, body = encode_request(request, model=MODEL, kind="other")
    assert url == "/v1/completions" and json.loads(body)["prompt"] == "Once"


FAILURES: dict[str, tuple[dict[str, Any], ExitCode, str]] = {
    "rejected": (
        {"body": {"error": {"message": "bad option", "code": "x"}}, "status": 400},
        ExitCode.USAGE,
        "bad option",
    ),
    "too long": (
        {"body": {"error": {"message": "maximum context length is 8"}}, "status": 400},
        ExitCode.CONTEXT,
        "maximum context length is 8",
    ),
    "rejected by vLLM": (
        {"body": None, "status": 400, "error": {"error": {"message": "bad", "code": 400}}},
        ExitCode.USAGE,
        "bad",
    ),
    "rejected by vLLM, without nesting": (
        {"body": None, "status": 400, "error": {"object": "error", "message": "bad 2"}},
        ExitCode.USAGE,
        "bad 2",
    ),
    "server error": (
        {"body": {"error": {"message": "oops"}}, "status": 500},
        ExitCode.SERVER,
        "oops",
    ),
    "too many": ({"body": {}, "status": 429}, ExitCode.SERVER, "too many requests"),
    "refusal": (
        {"body": reply(None, refusal="I cannot.")},
        ExitCode.INVALID_OUTPUT,
        "the model refused: I cannot.",
    ),
    "withheld": ({"body": reply("", "content_filter")}, ExitCode.SERVER, "withheld"),
    "no choice": ({"body": reply() | {"choices": []}}, ExitCode.SERVER, "incomplete"),
    "not a reply": ({"body": [1]}, ExitCode.SERVER, "invalid response"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_error_fails_its_own_request(tmp_path: Path, case: str) -> None:
    values, code, message = FAILURES[case]
    requests = [make_request(n) for n in range(2)]
    path = write(
        tmp_path / "out.jsonl",
        [result(id_of(requests[0]), **values), result(id_of(requests[1]), reply())],
    )
    failed, token, finished = answer(path, *requests)
    assert isinstance(failed, Failed) and failed.id == 0
    assert failed.error.exit_code == code and message in str(failed.error)
    assert isinstance(token, Token) and token.text == "fine" and isinstance(finished, Finished)


def test_expired_missing_and_changed_requests_fail(tmp_path: Path) -> None:
    requests = [make_request(n) for n in range(3)]
    expired = {
        **result(id_of(requests[0]), None),
        "response": None,
        "error": {"code": "batch_expired", "message": "This request could not be executed."},
    }
    other = make_request(2, max_tokens=9)
    path = write(tmp_path / "out.jsonl", [expired, result(id_of(other), reply())])
    errors = [str(event.error) for event in answer(path, *requests)]
    assert "was not run: This request could not be executed." in errors[0]
    assert "missing in the files" in errors[1]
    assert "has changed since `batch create`" in errors[2]


def test_results_may_be_in_any_order_and_in_several_files(tmp_path: Path) -> None:
    requests = [make_request(n) for n in range(20)]
    results = [result(id_of(each), reply(f"reply {each.id}")) for each in requests]
    random.Random(1).shuffle(results)
    error = result(id_of(requests[4]), {"error": {"message": "later answered"}}, 500)
    paths = [
        write(tmp_path / "errors.jsonl", [error]),
        write(tmp_path / "1.jsonl", results[:9]),
        write(tmp_path / "2.jsonl", [*results[9:], result(id_of(requests[5]), reply("again"))]),
    ]
    engine = ResultEngine(paths, model=MODEL, kind="other")
    texts = [event.text for event in engine.stream([None, *requests]) if isinstance(event, Token)]
    assert texts == [f"reply {n}" for n in range(20)]


def test_reasoning_stop_strings_and_length_are_those_of_a_reply(tmp_path: Path) -> None:
    requests = [make_request(0), make_request(1, stop=("!",)), make_request(2)]
    path = write(
        tmp_path / "out.jsonl",
        [
            result(id_of(requests[0]), reply("yes", reasoning_content="Let me see.")),
            result(id_of(requests[1]), reply("one! two")),
            result(id_of(requests[2]), reply("cut", "length")),
        ],
    )
    events = answer(path, *requests)
    assert events[0].reasoning == "Let me see." and events[1].text == "yes"
    ends = [event for event in events if isinstance(event, Finished)]
    assert [end.finish_reason for end in ends] == ["stop", "stop", "length"]
    assert "".join(each.text for each in events if isinstance(each, Token) and each.id == 1) == (
        "one"
    )
    assert ends[0].usage.prompt_tokens == 9


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    good = json.dumps(result("0-a", reply()))
    (tmp_path / "out.jsonl").write_text(f'{good}\n\nnot JSON\n{{"custom_id": null}}\n{good[:50]}')
    assert find_results([str(tmp_path / "out.jsonl")]).n_invalid == 3


@pytest.mark.parametrize("content", ["text\n", '{"a": 1}\n', "\x00\x01\n"])
def test_reject_a_file_without_results(tmp_path: Path, content: str) -> None:
    (tmp_path / "out.jsonl").write_text(content)
    with pytest.raises(InputError, match="not the results of a batch file"):
        find_results([str(tmp_path / "out.jsonl")])


def test_labels_are_scored_by_the_likely_tokens_of_a_result(tmp_path: Path) -> None:
    request = ScoreRequest(id=3, prompt=Prompt(text="Is it"), candidates=(" good", " bad"))
    asked = label_request(request, FEATURES["other"])
    top = [{"token": token, "logprob": math.log(p)} for token, p in (("good", 0.6), ("bad", 0.3))]
    logprobs = {"content": [{**top[0], "top_logprobs": top}]}
    scored, plain = reply("good"), reply("good")
    scored["choices"][0]["logprobs"] = logprobs
    for body in (scored, plain):
        path = write(tmp_path / "out.jsonl", [result(id_of(asked), body)])
        (found,) = ResultEngine([path], model=MODEL, kind="other").score([request])
        if body is scored:
            assert isinstance(found, Scores)
            assert [math.exp(row[0]) for row in found.logprobs] == pytest.approx([0.6, 0.3])
            assert (found.id, found.method) == (3, "top-k")
        else:
            assert isinstance(found, Failed) and isinstance(found.error, UsageError)


def test_a_result_belongs_to_all_equal_requests(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", [result(id_of(make_request(1)), reply("fine"))])
    token, end = answer(path, msgspec.structs.replace(make_request(1), id=77))
    assert isinstance(token, Token) and (token.id, token.text) == (77, "fine")


def test_a_text_with_too_many_requests_has_none(tmp_path: Path) -> None:
    class Task:
        def __init__(self, n: int) -> None:
            self.n = n

        def outcomes(self, engine: Any, cases: Any) -> Any:
            requests = [make_request(number) for number in range(self.n)]
            yield from engine.stream(iter([*requests, None]))

    collector = RequestCollector("other")
    for n in (3, 255):
        error, requests = collector.collect(cast(Any, Task(n)), Case())
        assert error is None and len(requests) == n
    error, requests = collector.collect(cast(Any, Task(256)), Case())
    assert "needs more than 256 requests" in str(error) and not requests


def open_writer(path: Path, **options: Any) -> JobWriter:
    writer = JobWriter(str(path), **options)
    writer.open_model(MODEL, base_url=None, settings=Settings(), environ={}, folder=path.parent)
    return writer


def test_requests_beyond_a_limit_go_to_another_file(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "job.jsonl", max_requests=4, max_bytes=800)
    for number in range(9):
        writer.write(make_request(number), str(number))
    job = writer.close(["gen"])
    assert len(job.files) > 2 and job.files[0] == "job-1.jsonl"
    parts = [(tmp_path / name).read_bytes() for name in job.files]
    assert all(len(part) <= 800 and part.count(b"\n") <= 4 for part in parts)
    ids = [json.loads(line)["custom_id"] for line in b"".join(parts).splitlines()]
    assert [each.partition("-")[0] for each in ids] == [str(n) for n in range(9)]
    for name in ("job.jsonl", "job-2.jsonl", "job.batch.json"):
        assert Job.read(str(tmp_path / name))[0] == job
    assert {each.name for each in tmp_path.iterdir()} == {*job.files, "job.batch.json"}


def test_a_request_larger_than_a_file_is_an_error(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "job.jsonl", max_bytes=100)
    with pytest.raises(InputError, match="more than a file may have"):
        writer.write(make_request(), "0")


def test_an_unfinished_job_leaves_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "job.jsonl")
    writer.open_input()
    writer.write(make_request(), "0")
    assert list(tmp_path.iterdir())
    writer.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("job.jsonl", None, "no job of this file"),
        ("job.jsonl", "{", "not a job"),
        ("job.jsonl", '{"args": []}', "not a job"),
    ],
)
def test_reject_a_file_without_a_job(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "job.batch.json").write_text(content)
    with pytest.raises(InputError, match=message):
        Job.read(str(tmp_path / name))
