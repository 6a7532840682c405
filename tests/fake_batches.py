"""A server with `/v1/files` and `/v1/batches`, in the shapes of OpenAI's Batch API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_server import Exchange, FakeServer, Received, Respond, fail, fake_server

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the line of a result for a request, as OpenAI writes it."""
    content = request["body"]["messages"][-1]["content"].strip()[-10:]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"re: {content}", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["body"]["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    return {
        "id": f"batch_req_{request['custom_id']}",
        "custom_id": request["custom_id"],
        "response": {"status_code": 200, "request_id": "req_1", "body": body},
        "error": None,
    }


class FakeBatches:
    """Files and batches; `before` has responses that replace the next ones for a path.

    `status` is that of new batches. With `drops`, their number of responses to `POST /batches` is
    lost after the batch was created.
    """

    def __init__(self, server: FakeServer) -> None:
        self.server, self.url = server, server.url
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.before: dict[str, list[Respond]] = {}
        self.status, self.drops = "completed", 0
        self.answer: Answer = answer
        self.headers: list[Received] = []
        self._lock = threading.Lock()
        server.choose = self.choose  # type: ignore[method-assign]

    def choose(self, request: Received) -> Respond:
        with self._lock:
            self.headers.append(request)
            path = urlsplit(request.path).path.removeprefix("/v1")
            waiting = self.before.get(f"{request.method} {path}")
            if waiting:
                return waiting.pop(0)
            if request.method == "POST" and path == "/files":
                return self._upload(request)
            if request.method == "POST" and path == "/batches":
                return self._create(request)
            if path == "/batches":
                return self._list(request)
            if match := re.fullmatch(r"/batches/(\w+)", path):
                found = self.batches.get(match[1])
                return fail(404, "no such batch") if found is None else ok(found)
            if match := re.fullmatch(r"/files/(\w+)/content", path):
                data = self.files[match[1]]
                return lambda exchange: exchange.send(200, data, kind="application/octet-stream")
        return fail(404, "not found")

    def _upload(self, request: Received) -> Respond:
        boundary = re.search(r"boundary=(\w+)", request.headers["content-type"])
        assert boundary is not None
        parts = request.body.split(b"--" + boundary[1].encode())
        fields = {}
        for part in parts[1:-1]:
            head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            assert name is not None
            fields[name[1].decode()] = content.removesuffix(b"\r\n")
        assert fields["purpose"] == b"batch" and parts[-1] == b"--\r\n"
        id = f"file_{len(self.files)}"
        self.files[id] = fields["file"]
        return ok({"id": id, "object": "file", "purpose": "batch", "bytes": len(fields["file"])})

    def _create(self, request: Received) -> Respond:
        body = request.body
        assert body["completion_window"] == "24h" and body["endpoint"] == "/v1/chat/completions"
        id = f"batch_{len(self.batches)}"
        self.batches[id] = {
            "id": id,
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": 1,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": None,
        }
        if self.status != "in_progress":
            self.end(id, self.status)
        if self.drops:
            self.drops -= 1
            return lambda exchange: exchange.reset()
        return ok(self.batches[id])

    def _list(self, request: Received) -> Respond:
        after = parse_qs(urlsplit(request.path).query).get("after", [""])[0]
        newest = [*reversed(self.batches.values())]
        ids = [each["id"] for each in newest]
        start = ids.index(after) + 1 if after else 0
        page = newest[start : start + 2]
        has_more = start + 2 < len(newest)
        return ok({"object": "list", "data": page, "has_more": has_more})

    def end(self, id: str, status: str = "completed") -> None:
        """End a batch; with another status than "completed", half of the requests expire."""
        batch = self.batches[id]
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        done = requests if status == "completed" else requests[: len(requests) // 2]
        results = [self.answer(each) for each in reversed(done)]
        errors = [each for each in results if each["response"]["status_code"] != 200]
        errors += [
            {
                "id": "batch_req_x",
                "custom_id": each["custom_id"],
                "response": None,
                "error": {"code": "batch_expired", "message": "This request expired."},
            }
            for each in requests[len(done) :]
        ]
        outputs = [each for each in results if each["response"]["status_code"] == 200]
        for field, lines in (("output_file_id", outputs), ("error_file_id", errors)):
            if lines:
                batch[field] = f"file_{len(self.files)}"
                self.files[batch[field]] = "".join(f"{json.dumps(e)}\n" for e in lines).encode()
        counts = {"total": len(requests), "completed": len(outputs), "failed": len(errors)}
        batch |= {"status": status, "request_counts": counts}


def ok(document: object) -> Respond:
    return lambda exchange: exchange.send(200, document)


def cut(data: bytes, length: int) -> Respond:
    """Return a response that promises more than it sends."""

    def respond(exchange: Exchange) -> None:
        exchange.start(200, kind="application/octet-stream", Content_Length=str(length))
        exchange.write(data)

    return respond


@contextmanager
def fake_batches() -> Iterator[FakeBatches]:
    with fake_server() as server:
        yield FakeBatches(server)
