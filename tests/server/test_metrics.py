"""`/metrics`: the text format, and that the figures are those of the requests."""

from __future__ import annotations

import re
from pathlib import Path

from running_server import Serve, Server

from llmtool.engine.scripted import ScriptedEngine

CHAT = "/v1/chat/completions"
LINE = re.compile(r'(\w+)(\{(?:\w+="(?:[^"\\\n]|\\.)*",?)*\})? ([0-9.e+-]+)')


def read(server: Server) -> dict[str, float]:
    """Return the value of each metric by its name and labels."""
    response = server.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for line in response.text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            assert match[1] + (match[2] or "") not in found
            found[match[1] + (match[2] or "")] = float(match[3])
    return found


def test_requests_count_by_path_and_status(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi there"), keys=["k"])
    server.client.headers["Authorization"] = "Bearer k"
    body = {"messages": [{"role": "user", "content": "hello"}]}
    for _ in range(3):
        server.post(CHAT, body)
    server.post(CHAT, {})
    server.post(CHAT, body, headers={"Authorization": "Bearer wrong"})
    server.client.get("/no/such/path")
    server.client.get("/v1/models/a/b")
    found = read(server)

    def n(path: str, status: int) -> float:
        return found[f'llmtool_http_requests_total{{path="{path}",status="{status}"}}']

    assert (n(CHAT, 200), n(CHAT, 400), n(CHAT, 401), n("other", 404)) == (3, 1, 1, 1)
    assert n("/v1/models/{name:path}", 404) == 1
    assert found[f'llmtool_http_request_seconds_count{{path="{CHAT}"}}'] == 5
    assert found[f'llmtool_http_request_seconds_bucket{{path="{CHAT}",le="+Inf"}}'] == 5


def test_tokens_and_cache_hits_are_those_of_usage(tiny: Path, serve: Serve) -> None:
    server = serve(tiny)
    body = {"messages": [{"role": "user", "content": "hello " * 100}], "max_tokens": 4, "n": 2}
    usages = [server.post(CHAT, body).json()["usage"] for _ in range(2)]
    found = read(server)

    def total(name: str) -> float:
        return found[f'llmtool_{name}{{model="tiny"}}']

    assert total("requests_total") == 2
    assert total("prompt_tokens_total") == sum(each["prompt_tokens"] for each in usages)
    assert total("reply_tokens_total") == sum(each["completion_tokens"] for each in usages)
    cached = [each["prompt_tokens_details"]["cached_tokens"] for each in usages]
    assert cached[1] > 0
    assert total("cached_tokens_total") == sum(cached)
    assert total("cache_hits_total") == 1
    assert total("first_token_seconds_count") == 2
    assert total("first_token_seconds_sum") > 0


def test_metrics_need_the_key(serve: Serve) -> None:
    assert serve(ScriptedEngine("Hi"), keys=["k"]).client.get("/metrics").status_code == 401
