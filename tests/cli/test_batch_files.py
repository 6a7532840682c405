"""Batch files in OpenAI's format through the command."""

from __future__ import annotations

import csv
import io
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
    assert result.returncode == 3
    assert "8 of 11 requests failed; first failure: request 3: " in error
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


def test_where_an_unexpected_error_was_raised_is_logged(
    run_llmtool: Run, tiny: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a prompt")

    monkeypatch.setattr("llmtool.server.openai.batch_file.complete_chat", fail)
    name = write(cwd / "job.jsonl", [request("a", messages=[{"role": "user", "content": "hi"}])])
    result = run_llmtool("batch", "run", name, "-m", tiny, "--debug")
    assert statuses(result.stdout) == {"a": 500}
    [line] = [each for each in result.stderr.decode().splitlines() if "a request failed" in each]
    assert "RuntimeError in " in line and "a prompt" not in line


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


KIND = '{"type":"object","properties":{"kind":{"enum":["a","b"]}},"required":["kind"]}'
SCHEMA = ("--schema", KIND, "--max-tokens", "40", "--temperature", "0")
RECORDS = "id,text\n1,The river\n2,\n3,The hill\n4,The river\n"


def create(run: Run, tiny: Path, *options: str, command: tuple[str, ...] = ()) -> None:
    words = command or ("gen", "Count", "--each", "csv", "--field", "text", "-f", "in.csv", *SCHEMA)
    result = run("batch", "create", "-o", "job.jsonl", *options, "--", *words, "-m", tiny)
    assert result.returncode == 0, result.stderr.decode()


def without_keys(data: bytes) -> list[list[str]]:
    return [row[:-1] for row in csv.reader(io.StringIO(data.decode()))]


def test_rows_of_a_job_are_those_of_the_command(run_llmtool: Run, tiny: Path, cwd: Path) -> None:
    (cwd / "in.csv").write_text(RECORDS)
    create(run_llmtool, tiny)
    ids = [json.loads(line)["custom_id"] for line in (cwd / "job.jsonl").read_text().splitlines()]
    assert [each.partition("-")[0] for each in ids] == ["0", "2", "3"]
    assert run_llmtool("batch", "run", "job.jsonl", "-o", "out.jsonl", "-m", tiny).returncode == 0
    lines = (cwd / "out.jsonl").read_text().splitlines(keepends=True)
    (cwd / "out.jsonl").write_text("".join(reversed(lines)))
    words = ("batch", "parse", "out.jsonl", "--from", "job.jsonl", "-o", "rows.csv")
    assert "1 of 4 records failed" in error_line(run_llmtool(*words), 3)
    direct = ("gen", "Count", "--each", "csv", "--field", "text", "-f", "in.csv", *SCHEMA)
    assert run_llmtool(*direct, "-m", tiny, "-o", "direct.csv").returncode == 3
    rows = (cwd / "rows.csv").read_bytes()
    assert without_keys(rows) == without_keys((cwd / "direct.csv").read_bytes())
    assert "already exists" in error_line(run_llmtool(*words), 2)
    assert run_llmtool(*words, "--resume").returncode == 3
    assert (cwd / "rows.csv").read_bytes() == rows


def test_missing_results_are_added_with_retry_failed(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    (cwd / "in.csv").write_text(RECORDS.replace("2,\n", ""))
    create(run_llmtool, tiny)
    run_llmtool("batch", "run", "job.jsonl", "-o", "out.jsonl", "-m", tiny)
    lines = (cwd / "out.jsonl").read_text().splitlines(keepends=True)
    (cwd / "first.jsonl").write_text(lines[0] + lines[1][:30])
    parse = ("batch", "parse", "--from", "job.jsonl", "-o", "rows.csv")
    first = run_llmtool(*parse, "first.jsonl")
    assert first.returncode == 3 and b"1 line of the results cannot be read" in first.stderr
    assert b"no result of request 1-" in (cwd / "rows.csv").read_bytes()
    assert run_llmtool(*parse, "out.jsonl", "--retry-failed").returncode == 0
    run_llmtool("batch", "parse", "--from", "job.jsonl", "-o", "all.csv", "out.jsonl")
    assert (cwd / "rows.csv").read_bytes() == (cwd / "all.csv").read_bytes()


def test_standard_input_is_copied_and_a_large_job_has_several_files(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    lines = b"".join(b"line %d\n" % n for n in range(5))
    words = ("batch", "create", "-o", "job.jsonl", "--max-requests", "2", "--", "gen", "Say")
    options = ("--each", "line", "-m", tiny, "--max-tokens", "2", "--seed", "1")
    result = run_llmtool(*words, *options, input=lines)
    assert b"5 requests for" in result.stderr and b"job-3.jsonl" in result.stderr
    assert (cwd / "job.input").read_bytes() == lines
    for number in (1, 2, 3):
        run_llmtool("batch", "run", f"job-{number}.jsonl", "-m", tiny, "-o", f"{number}.jsonl")
    outputs = [f"{number}.jsonl" for number in (3, 1, 2)]
    parsed = run_llmtool("batch", "parse", *outputs, "--from", "job-2.jsonl")
    assert parsed.returncode == 0 and parsed.stdout.count(b"\n") == 5


def test_no_model_is_needed_and_the_options_of_a_program_are_sent(
    run_llmtool: Run, cwd: Path
) -> None:
    (cwd / "in.txt").write_text("a\nb\n")
    (cwd / "t.yaml").write_text(
        'llmtool: 1\nname: t\ninputs: {text: {type: text}}\nprompt: "{{ text }}"\n'
        "model: {params: {top_k: 3}}\noutput: {regex: a+}\n"
    )
    words = ("run", "./t.yaml", "--each", "line", "-f", "in.txt", "-m", "org/large")
    result = run_llmtool("batch", "create", "-o", "a.jsonl", "--", *words)
    assert result.returncode == 0 and b"not in the requests: --regex, --top-k" in result.stderr
    result = run_llmtool("batch", "create", "-o", "b.jsonl", "--kind", "vllm", "--", *words)
    assert b"not in the requests" not in result.stderr
    bodies = [json.loads(line)["body"] for line in (cwd / "b.jsonl").read_text().splitlines()]
    assert [body["top_k"] for body in bodies] == [3, 3]
    assert {body["model"] for body in bodies} == {"org/large"}


FROM = ("--each", "line", "-f", "in.txt", "-m", "large")


def answered(path: Path, say: Callable[[str], str]) -> str:
    """Write the results of a batch file, whose replies depend on the last message.

    `a|b` is the reply `a` that could as well be `b`.
    """
    found = []
    for each in results(path.read_bytes()):
        text, *others = say(each["body"]["messages"][-1]["content"]).split("|")
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
        if each["body"].get("logprobs"):
            top = [{"token": each, "logprob": -1.0} for each in (text, *others)]
            top.append({"token": "x", "logprob": -3.0})
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        body = {"model": "large", "choices": [choice]}
        response = {"status_code": 200, "request_id": "", "body": body}
        found.append({"custom_id": each["custom_id"], "response": response, "error": None})
    write(path.with_name("out.jsonl"), found)
    return "out.jsonl"


def label_of(prompt: str, first: str, second: str) -> str:
    if "A goal." in prompt:
        return first
    return second if "A law." in prompt else f"{first}|{second}"


TASKS: dict[str, tuple[tuple[str, ...], Callable[[str], str], int, list[dict[str, Any]]]] = {
    "classify": (
        ("classify", "-l", "sport,politics"),
        lambda prompt: label_of(prompt, "sport", "politics"),
        18,  # with 16 neutral sentences
        [{"label": "sport"}, {"label": "politics"}],
    ),
    "template of labels": (
        ("run", "sentiment"),
        lambda prompt: label_of(prompt, "positive", "negative"),
        8,
        [{"label": "positive"}, {"label": "negative"}],
    ),
    "translate": (
        ("translate", "--to", "de"),
        lambda prompt: "Ein Tor." if "goal" in prompt else "Ein Gesetz.",
        2,
        [{"text": "Ein Tor.", "untranslated": 0}, {"text": "Ein Gesetz.", "untranslated": 0}],
    ),
    "rejected translation": (
        ("translate", "--to", "de"),
        lambda prompt: "",
        2,
        [{"text": "A goal.", "untranslated": 1}, {"text": "A law.", "untranslated": 1}],
    ),
    "code": (
        ("code", "-l", "python"),
        lambda prompt: "```python\nx = 1\n```" if "goal" in prompt else "```python\nx =\n```",
        2,
        [{"text": "x = 1\n", "status": "ok"}, {"text": "x =\n", "status": "error"}],
    ),
    "sum": (
        ("sum", "--strategy", "write"),
        lambda prompt: "A goal." if "goal" in prompt else "Nonsense about 5 cats.",
        2,
        [{"text": "A goal."}, {"text": "A law."}],
    ),
}


@pytest.mark.parametrize(("words", "say", "n_requests", "rows"), TASKS.values(), ids=TASKS)
def test_any_task_whose_requests_need_no_earlier_reply(
    run_llmtool: Run,
    cwd: Path,
    words: tuple[str, ...],
    say: Callable[[str], str],
    n_requests: int,
    rows: list[dict[str, Any]],
) -> None:
    (cwd / "in.txt").write_text("A goal.\nA law.\n")
    created = run_llmtool("batch", "create", "-o", "job.jsonl", "--", *words, *FROM, "--jsonl")
    assert created.returncode == 0, created.stderr
    assert b"without a request" not in created.stderr
    ids = [each["custom_id"] for each in results((cwd / "job.jsonl").read_bytes())]
    assert len(set(ids)) == n_requests == len(ids)
    output = answered(cwd / "job.jsonl", say)
    parsed = run_llmtool("batch", "parse", output, "--from", "job.jsonl")
    found = [json.loads(line) for line in parsed.stdout.splitlines()]
    assert [{name: row.get(name) for name in rows[0]} for row in found] == rows, parsed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("classify", "-l", "a,b", "--calibrate", "in.txt", *FROM), "--calibrate needs a model"),
        (("sum", *FROM), "--strategy auto tests the model first, which a batch file cannot; use"),
        (("sum", "--strategy", "extract", *FROM), "--strategy extract needs no model"),
        (("run", "qa", "-p", "question=When?", *FROM), "compares the probabilities of replies"),
        (("gen", "Say", "--schema", "n int", "--retries", "1", *FROM), "--retries repeats"),
        (("gen", "Say", "--top-k", "3", *FROM), "--top-k 3: not supported by the server of --kind"),
        (("gen", "Say", "--regex", "a+", *FROM), "--regex: not supported by the server of --kind"),
        (("gen", "Say"), "a batch file needs --each"),
        (("gen", "Say", *FROM, "-o", "rows.jsonl"), "belong to `batch parse`"),
        (("gen", "Say", *FROM, "--threads", "2"), "--threads is for a model on this machine"),
        (("gen", "Say", "--each", "line", "-f", "in.txt"), "name the model that will answer"),
        (("gen", "Say", *FROM, "--nope"), "unknown option --nope"),
        (
            ("chat", "--each", "line"),
            "chat: each of its requests contains earlier replies; use gen",
        ),
        (("batch", "run", "--each"), "batch: not a command with --each"),
    ],
)
def test_reject(run_llmtool: Run, cwd: Path, words: tuple[str, ...], message: str) -> None:
    (cwd / "in.txt").write_text("a\nb\n")
    result = run_llmtool("batch", "create", "-o", "job.jsonl", "--", *words)
    assert message in error_line(result, 2)
    assert {each.name for each in cwd.iterdir()} == {"in.txt"}


def test_reject_records_without_a_request_and_existing_files(
    run_llmtool: Run, tiny: Path, cwd: Path
) -> None:
    (cwd / "in.csv").write_text("text\n''\n".replace("''", '""'))
    words = ("batch", "create", "-o", "job.jsonl", "--", "gen", "Say", "--each", "csv")
    empty = run_llmtool(*words, "-f", "in.csv", "-m", "large")
    assert "no record has a request" in error_line(empty, 14)
    (cwd / "in.csv").write_text("text\na\n")
    assert run_llmtool(*words, "-f", "in.csv", "-m", "large").returncode == 0
    again = run_llmtool(*words, "-f", "in.csv", "-m", "large")
    assert "job.jsonl already exists" in error_line(again, 2)
    other = run_llmtool("batch", "parse", "in.csv", "--from", "job.jsonl")
    assert "not the results of a batch file" in error_line(other, 14)
