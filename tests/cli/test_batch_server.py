"""`batch submit`, `status` and `fetch` with a server in the shapes of OpenAI."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from fake_batches import FakeBatches, answer, cut, fake_batches
from fake_server import fail
from json_page import object_mismatches

from llmtool.engine.openai.connection import Connection

Run = Callable[..., subprocess.CompletedProcess[bytes]]
KEY = "sk-secret-1234"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatches]:
    defaults = Connection.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "backoff_seconds", 0.01)
    with fake_batches() as found:
        yield found


@pytest.fixture
def run(run_llmtool: Run, server: FakeBatches, cwd: Path, env: dict[str, str]) -> Run:
    """Return `run(*words)`, which runs the command with a key, after `batch create`."""
    env["LLMTOOL_OFFLINE"] = "0"
    (cwd / "in.csv").write_text("id,text\n1,one\n2,\n3,three\n4,four\n")
    words = ("gen", "Say", "--each", "csv", "--field", "text", "-f", "in.csv")
    named = ("-m", "small", "--base-url", server.url, "--temperature", "0")
    made = run_llmtool("batch", "create", "-o", "job.jsonl", "--", *words, *named)
    assert made.returncode == 0, made.stderr.decode()
    environment = {"LLMTOOL_API_KEY": KEY}

    def start(*words: str) -> subprocess.CompletedProcess[bytes]:
        result = run_llmtool("batch", *words, env=environment)
        assert KEY.encode() not in result.stdout + result.stderr
        return result

    return start


def test_results_of_a_server_become_rows(run: Run, server: FakeBatches, cwd: Path) -> None:
    submitted = run("submit", "job.jsonl")
    assert submitted.returncode == 0
    assert f"submitted to {server.url} as batch_0" in submitted.stderr.decode()
    assert server.files["file_0"] == (cwd / "job.jsonl").read_bytes()
    assert {each.headers["authorization"] for each in server.headers} == {f"Bearer {KEY}"}
    [state] = json.loads(run("status", "job.jsonl", "--json").stdout)
    assert state == {
        "file": "job.jsonl",
        "batch": "batch_0",
        "status": "completed",
        "completed": 3,
        "failed": 0,
        "total": 3,
    }
    assert object_mismatches(state, "batch status") == []
    fetched = run("fetch", "job.jsonl")
    assert fetched.returncode == 0 and fetched.stdout == b"job.output.jsonl\n"
    parsed = run("parse", "job.output.jsonl", "--from", "job.jsonl", "-o", "rows.jsonl")
    assert "1 of 4 records failed" in error_line(parsed, 3)
    rows = [json.loads(line) for line in (cwd / "rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1]["exit_code"] == 14 and rows[0]["text"].startswith("re:")


@pytest.mark.parametrize("command", ["submit", "status", "fetch"])
def test_a_missing_file_is_reported(run: Run, command: str) -> None:
    assert "missing.jsonl: no such file" in error_line(run(command, "missing.jsonl"), 14)


def test_a_file_is_submitted_once(run: Run, server: FakeBatches) -> None:
    for _ in range(3):
        assert run("submit", "job.jsonl").returncode == 0
    assert len(server.batches) == 1 and b"already submitted" in run("submit", "job.jsonl").stderr


def test_a_lost_response_does_not_lead_to_a_second_batch(
    run: Run, server: FakeBatches, cwd: Path
) -> None:
    for n in range(5):  # on several pages of the list
        server.batches[f"other_{n}"] = {"id": f"other_{n}", "status": "completed"}
    server.drops = 1
    server.before = {"GET /batches": [fail(500, "oops")]}
    assert run("submit", "job.jsonl").returncode == 0
    mine = [each for each in server.batches.values() if each.get("input_file_id") == "file_0"]
    assert len(mine) == 1


def test_an_interrupted_submission_is_found_on_the_server(
    run: Run, server: FakeBatches, cwd: Path
) -> None:
    assert run("submit", "job.jsonl").returncode == 0
    saved = cwd / "job.submission.json"
    state = json.loads(saved.read_text())
    saved.write_text(json.dumps({**state, "batch_id": None, "is_creating": True}))  # killed then
    assert run("submit", "job.jsonl").returncode == 0
    assert json.loads(saved.read_text()) == state and len(server.batches) == 1
    saved.write_text(json.dumps({**state, "batch_id": None, "is_creating": False}))
    assert run("submit", "job.jsonl").returncode == 0
    assert len(server.files) == 2 + 1 and len(server.batches) == 2  # the file is not sent again


def test_a_rejected_key_or_upload_is_reported_and_repeated(run: Run, server: FakeBatches) -> None:
    server.before = {"POST /files": [fail(401, "bad key"), fail(429, "slow down", Retry_After="0")]}
    assert "the server rejects the key" in error_line(run("submit", "job.jsonl"), 2)
    assert run("submit", "job.jsonl").returncode == 0
    assert len(server.batches) == 1


def test_a_server_without_files_is_an_error_with_advice(run: Run, server: FakeBatches) -> None:
    server.before = {"POST /files": [fail(404, "Not Found")]}
    line = error_line(run("submit", "job.jsonl"), 2)
    assert "the server has no /v1/files: Not Found; use `llmtool batch run` for a server" in line


def test_fetch_waits_and_resumes_without_a_half_file(
    run: Run, server: FakeBatches, cwd: Path
) -> None:
    server.status = "in_progress"
    run("submit", "job.jsonl")
    assert "in_progress; try again later" in error_line(run("fetch", "job.jsonl"), 1)
    server.end("batch_0")
    output = server.batches["batch_0"]["output_file_id"]
    data = server.files[output]
    path = f"GET /files/{output}/content"
    server.before = {path: [cut(data[:50], len(data)), fail(503), cut(data[:9], len(data))]}
    assert run("fetch", "job.jsonl").returncode == 0
    assert (cwd / "job.output.jsonl").read_bytes() == data
    (cwd / "job.output.jsonl").unlink()
    server.before = {path: [cut(data[:50], len(data))] * 20}
    result = run("fetch", "job.jsonl")
    assert result.returncode == 20 and not (cwd / "job.output.jsonl").exists()
    assert not [each for each in cwd.iterdir() if each.name.startswith(".")]


def test_errors_and_expired_requests(run: Run, server: FakeBatches, cwd: Path) -> None:
    server.status = "expired"
    run("submit", "job.jsonl")
    result = run("fetch", "job.jsonl")
    assert result.returncode == 0 and b"the batch is expired" in result.stderr
    assert result.stdout.split() == [b"job.output.jsonl", b"job.errors.jsonl"]
    run("parse", *result.stdout.decode().split(), "--from", "job.jsonl", "-o", "rows.jsonl")
    rows = [json.loads(line) for line in (cwd / "rows.jsonl").read_text().splitlines()]
    assert "This request expired." in rows[3]["error"] and rows[3]["exit_code"] == 20


def edited(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(change(data.splitlines(keepends=True)))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "missing": (edited(lambda lines: lines[1:]), 3, "1 of 3 requests have no result"),
    "twice": (edited(lambda lines: [*lines, lines[0]]), 20, "1 request answered twice"),
    "unknown": (lambda data: data.replace(b"0-", b"9-"), 20, "a result of request 9-"),
    "a page": (lambda data: b"<html>Sign in</html>", 20, "not the results of a batch"),
    "cut": (lambda data: data[:-20], 20, "not the results of a batch"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_wrong_results_are_reported(run: Run, server: FakeBatches, cwd: Path, case: str) -> None:
    change, code, message = DAMAGES[case]
    run("submit", "job.jsonl")
    output = server.batches["batch_0"]["output_file_id"]
    server.files[output] = change(server.files[output])
    result = run("fetch", "job.jsonl")
    assert result.returncode == code and message in result.stderr.decode()


def test_a_failed_batch_has_the_reason_of_the_server(run: Run, server: FakeBatches) -> None:
    run("submit", "job.jsonl")
    server.batches["batch_0"] |= {
        "status": "failed",
        "errors": {"object": "list", "data": [{"message": "bad model", "line": 2, "code": "x"}]},
    }
    assert "rejected the batch: bad model, line 2" in error_line(run("fetch", "job.jsonl"), 20)


def test_changes_and_other_servers_are_errors(run: Run, server: FakeBatches, cwd: Path) -> None:
    assert "was not submitted" in error_line(run("status", "job.jsonl"), 2)
    run("submit", "job.jsonl")
    other = run("submit", "job.jsonl", "--base-url", "http://127.0.0.1:9/v1")
    assert f"was submitted to {server.url}" in error_line(other, 2)
    assert "cannot be used with --offline" in error_line(run("submit", "job.jsonl", "--offline"), 2)
    data = (cwd / "job.jsonl").read_bytes()
    (cwd / "job.jsonl").write_bytes(data + b"\n")
    assert "has changed since it was submitted" in error_line(run("submit", "job.jsonl"), 2)
    (cwd / "other.jsonl").write_bytes(data + data)
    assert "name the server" in error_line(run("submit", "other.jsonl"), 2)
    twice = run("submit", "other.jsonl", "--base-url", server.url)
    assert "occurs twice" in error_line(twice, 14)
    unknown = run("submit", "other.jsonl", "--endpoint", "gpu")
    assert "--endpoint gpu: unknown" in error_line(unknown, 2)


@pytest.mark.parametrize("id", ["../../v1/models", "a\x1b[2J", "", "a" * 300])
def test_an_invalid_id_of_the_server_is_an_error(
    run: Run, server: FakeBatches, cwd: Path, id: str
) -> None:
    run("submit", "job.jsonl")
    server.batches["batch_0"] |= {"id": id, "status": "completed"}
    result = run("fetch", "job.jsonl")
    assert "invalid response of the server" in error_line(result, 20)
    assert b"\x1b" not in result.stderr


def test_ctrl_c_while_waiting(
    run: Run, server: FakeBatches, start_llmtool: Callable[..., subprocess.Popen[bytes]], cwd: Path
) -> None:
    server.status = "in_progress"
    run("submit", "job.jsonl")
    n_before = len(server.headers)
    process = start_llmtool("batch", "fetch", "job.jsonl", "--wait", cwd=cwd)
    limit = time.monotonic() + 30
    while len(server.headers) == n_before:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    assert not (cwd / "job.output.jsonl").exists()


def test_requests_that_fail_on_the_server(run: Run, server: FakeBatches, cwd: Path) -> None:
    def reject(request: dict[str, Any]) -> dict[str, Any]:
        result = answer(request)
        if "three" in request["body"]["messages"][-1]["content"]:
            body = {"error": {"message": "maximum context length is 8", "code": None}}
            result["response"] = {"status_code": 400, "request_id": "r", "body": body}
        return result

    server.answer = reject
    run("submit", "job.jsonl")
    files = run("fetch", "job.jsonl").stdout.decode().split()
    assert files == ["job.output.jsonl", "job.errors.jsonl"]
    run("parse", *files, "--from", "job.jsonl", "-o", "rows.jsonl")
    rows = [json.loads(line) for line in (cwd / "rows.jsonl").read_text().splitlines()]
    assert [row.get("exit_code") for row in rows] == [None, 14, 13, None]
