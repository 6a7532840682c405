"""`GET /metrics`: counts and times of requests and tokens, for Prometheus.

Source: the text format 0.0.4 of Prometheus.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmtool.engine.shared import SharedEngine
from llmtool.engine.totals import Histogram
from llmtool.server.bodies import check_query
from llmtool.server.service import Service

_OTHER = "other"  # all unknown paths
_ENGINE: tuple[tuple[str, str, str, Callable[[SharedEngine], int]], ...] = (
    (
        "requests_total",
        "counter",
        "Finished requests to the model; a call makes one or more.",
        lambda engine: engine.totals.n_requests,
    ),
    (
        "cache_hits_total",
        "counter",
        "Finished requests whose prompt was partly cached.",
        lambda engine: engine.totals.n_cached,
    ),
    (
        "prompt_tokens_total",
        "counter",
        "Tokens of prompts.",
        lambda engine: engine.totals.prompt_tokens,
    ),
    (
        "cached_tokens_total",
        "counter",
        "Tokens of prompts that were cached.",
        lambda engine: engine.totals.cached_tokens,
    ),
    (
        "reply_tokens_total",
        "counter",
        "Tokens of replies.",
        lambda engine: engine.totals.reply_tokens,
    ),
    (
        "replies_running",
        "gauge",
        "Replies that are decoded together.",
        lambda engine: len(engine.progress.running),
    ),
    (
        "requests_waiting",
        "gauge",
        "Requests that the model has not read.",
        lambda engine: engine.n_waiting,
    ),
)


class HttpTotals:
    """Counts of requests by path and status, and their seconds by path."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: defaultdict[str, Histogram] = defaultdict(Histogram)


class CountRequests:
    """Counts the requests of a server, also those that other middleware rejects."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[Route], totals: HttpTotals) -> None:
        self._app, self._routes, self._totals = app, routes, totals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            path = self._path(scope)
            self._totals.requests[path, status] += 1
            self._totals.seconds[path].add(time.monotonic() - started)

    def _path(self, scope: Scope) -> str:
        for route in self._routes:
            if route.matches(scope)[0] != Match.NONE:
                return route.path
        return _OTHER


def show_metrics(service: Service, request: Request, totals: HttpTotals) -> Response:
    """Return all metrics in Prometheus's text format."""
    check_query(request)
    text = "".join(f"{line}\n" for line in _lines(service, totals))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _lines(service: Service, totals: HttpTotals) -> Iterator[str]:
    yield from _head("http_requests_total", "counter", "Requests by path and status.")
    for (path, status), n in sorted(totals.requests.items()):
        yield _sample("http_requests_total", n, path=path, status=str(status))
    yield from _head("http_request_seconds", "histogram", "Seconds until the end of a response.")
    for path, histogram in sorted(totals.seconds.items()):
        yield from _histogram("http_request_seconds", histogram, path=path)
    yield from _head("calls_running", "gauge", "Calls of models that run.")
    yield _sample("calls_running", service.n_running)
    yield from _head("calls_waiting", "gauge", "Calls of models that wait to run.")
    yield _sample("calls_waiting", service.n_waiting)
    engines = {
        name: engine
        for name, box in service.boxes.items()
        if isinstance(engine := box.loaded_engine, SharedEngine)
    }
    for metric, kind, description, read in _ENGINE:
        yield from _head(metric, kind, description)
        for name, engine in engines.items():
            yield _sample(metric, read(engine), model=name)
    name = "first_token_seconds"
    yield from _head(name, "histogram", "Seconds from a request to its first token.")
    for model, engine in engines.items():
        yield from _histogram(name, engine.totals.first_token_seconds, model=model)


def _head(name: str, kind: str, description: str) -> Iterator[str]:
    yield f"# HELP llmtool_{name} {description}"
    yield f"# TYPE llmtool_{name} {kind}"


def _sample(name: str, value: float, **labels: str) -> str:
    """Return a line of a metric.

    Example:
        >>> _sample("n", 2, path="/health")
        'llmtool_n{path="/health"} 2'
    """
    shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"llmtool_{name}{{{shown}}} {value}" if shown else f"llmtool_{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histogram(name: str, histogram: Histogram, **labels: str) -> Iterator[str]:
    n = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        n += count
        yield _sample(f"{name}_bucket", n, **labels, le="+Inf" if bound is None else f"{bound:g}")
    yield _sample(f"{name}_sum", histogram.total, **labels)
    yield _sample(f"{name}_count", n, **labels)
