"""Batch files in OpenAI's format through the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, error_line

Run = Callable[..., subprocess.CompletedProcess[bytes]]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def request(custom_id: str, url: str = CHAT, **body: Any) -> dict[str, Any]:
    given = {"messages": [{"role": "user", "content": custom_id}]} if url == CHAT else {}
    body = {"model": "gpt-4o-mini", "max_tokens": 4, "temperature": 0, **given, **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def write(path: Path, lines: list[Any]) -> str:
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n"
                            for each in lines))  # fmt: skip
    return path.name


def results(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def statuses(data: bytes) -> dict[str | None, int]:
    return {each["custom_id"]: each["response"]["status_code"] for each in results(data)}


def test_a_file_of_another_program_is_answered_in_its_format(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    constrained = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    name = write(
        cwd / "in.jsonl",
        [
            request("a"),
            request("schema", max_tokens=40, response_format=constrained),
            request("tools", tools=[{"type": "function"}]),
            request("unknown", no_such_option=1),
            request("embeddings", "/v1/embeddings", input="a"),
            request("streamed", stream=True),
            request("text", TEXT, prompt="The river", logprobs=1),
            request("get") | {"method": "GET"},
            request("a"),
            "not JSON",
            "",
            request("long", messages=[{"role": "user", "content": "the river " * 5000}]),
        ],
    )
    result = run_llmtool("batch", "run", name, "-m", tiny)
    error = result.stderr.decode()
    assert result.returncode == 3 and "8 of 11 requests failed" in error
    assert "the requests name the model 'gpt-4o-mini'; tiny-plain.gguf answers them" in error
    found = results(result.stdout)
    assert [each["custom_id"] for each in found] == [
        *("a", "schema", "tools", "unknown", "embeddings", "streamed", "text", "get", "a"),
        *(None, "long"),
    ]
    assert [each["response"]["status_code"] for each in found] == [
        *(200, 200, 400, 400, 400, 400, 200, 400, 400, 400, 400)
    ]
    assert all(each["error"] is None and each["id"] for each in found)
    bodies = [each["response"]["body"] for each in found]
    assert bodies[0]["object"] == "chat.completion" and bodies[0]["model"] == "tiny-plain.gguf"
    assert bodies[0]["usage"]["completion_tokens"] <= 4
    assert json.loads(bodies[1]["choices"][0]["message"]["content"])["n"] in (1, 2)
    assert bodies[2]["error"]["param"] == "tools"
    assert bodies[6]["choices"][0]["logprobs"]["tokens"]
    assert "occurs twice" in bodies[8]["error"]["message"]
    assert "in.jsonl, line 10: not JSON" in bodies[9]["error"]["message"]
    assert bodies[10]["error"]["code"] == "context_length_exceeded"


def test_a_cut_file_of_results_is_continued(run_llmtool: Run, tiny: Path, cwd: Path) -> None:
    name = write(cwd / "in.jsonl", [request(str(n)) for n in range(5)] + [request("0")])
    words = ("batch", "run", name, "-m", tiny, "-o", "out.jsonl")
    assert run_llmtool(*words).returncode == 3
    whole = (cwd / "out.jsonl").read_bytes()
    assert "already exists; use --resume" in error_line(run_llmtool(*words), 2)
    for end in (0, 10, whole.index(b"\n") + 1, whole.index(b"\n") + 30, len(whole)):
        (cwd / "out.jsonl").write_bytes(whole[:end])
        assert run_llmtool(*words, "--resume").returncode == 3
        data = (cwd / "out.jsonl").read_bytes()
        kept = whole[:end].rpartition(b"\n")[0]
        assert data.startswith(kept) and data.count(b"\n") == 6
        assert statuses(data) == {"0": 400, "1": 200, "2": 200, "3": 200, "4": 200}


def test_results_of_other_requests_are_not_continued(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    name = write(cwd / "in.jsonl", [request("a"), request("b")])
    words = ("batch", "run", name, "-m", tiny, "-o", "out.jsonl")
    run_llmtool(*words)
    write(cwd / "in.jsonl", [request("a")])
    assert "line 2 is not the result" in error_line(run_llmtool(*words, "--resume"), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_continues(
    run_llmtool: Run,
    start_llmtool: Callable[..., subprocess.Popen[bytes]],
    tiny_model: Callable[..., Path],
    cwd: Path,
    number: int,
) -> None:
    model = tiny_model(**INFINITE)
    short, endless = [request(f"{n}") for n in range(3)], request("long", max_tokens=60000)
    name = write(cwd / "in.jsonl", [*short, endless])
    words = ("batch", "run", name, "-m", model, "-o", "out.jsonl")
    process = start_llmtool(*map(str, words), cwd=cwd)
    limit = time.monotonic() + 60
    out = cwd / "out.jsonl"
    while not out.exists() or out.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.wait(30)
    before = out.read_bytes()
    assert list(statuses(before)) == ["0", "1", "2"]
    write(cwd / "in.jsonl", [*short, request("long")])
    assert run_llmtool(*words, "--resume").returncode == 0
    assert out.read_bytes().startswith(before)
    assert list(statuses(out.read_bytes())) == ["0", "1", "2", "long"]
