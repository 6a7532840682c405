"""The server's routes, and what all of them do: read the body, run, report errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from http import HTTPStatus
from importlib import import_module
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llmtool.errors import missing_extra
from llmtool.server import llama_server
from llmtool.server.access import Access
from llmtool.server.anthropic import messages
from llmtool.server.anthropic.schemas import CountBody, MessagesBody
from llmtool.server.bodies import check_query, parse_body, read_body
from llmtool.server.errors import RequestError, naming_fields
from llmtool.server.functions import endpoints
from llmtool.server.llama_server import ApplyTemplateBody, DetokenizeBody, TokenizeBody
from llmtool.server.metrics import CountRequests, HttpTotals, show_metrics
from llmtool.server.openai import models
from llmtool.server.openai.chat import complete_chat
from llmtool.server.openai.completions import complete
from llmtool.server.openai.responses import create_response
from llmtool.server.openai.schemas import ChatBody, CompletionBody, ResponseBody
from llmtool.server.page import show_page
from llmtool.server.responses import JSON, error_response, is_finished
from llmtool.server.scores import ScoresBody, score
from llmtool.server.service import Service

B = TypeVar("B", bound=msgspec.Struct)
_MAX_PARSED_HERE = 100_000  # bytes
_CLIENT_CLOSED = 499  # nginx's status; nobody reads it


def make_app(
    service: Service, *, host: str, keys: Iterable[str] = (), origins: Iterable[str] = ()
) -> Starlette:
    """Return the server as an ASGI application; see `Access` for the options."""
    origins, totals = list(origins), HttpTotals()
    post = partial(_post, service)
    routes = [
        Route("/v1/chat/completions", post(complete_chat, ChatBody), methods=["POST"]),
        Route("/v1/completions", post(complete, CompletionBody), methods=["POST"]),
        Route("/", _get(service, show_page)),
        Route("/v1/models", _get(service, models.list_models)),
        Route("/v1/models/{name:path}", _get(service, models.show_model)),
        Route("/v1/functions", _get(service, endpoints.list_functions)),
        Route("/v1/functions/{name}", _handle(service, endpoints.call_function), methods=["POST"]),
        Route("/mcp", _Mcp(service)),
        Route("/openapi.json", _get(service, endpoints.show_openapi)),
        Route("/v1/responses", post(create_response, ResponseBody), methods=["POST"]),
        Route("/v1/messages", post(messages.create_message, MessagesBody), methods=["POST"]),
        Route(
            "/v1/messages/count_tokens",
            post(messages.count_tokens, CountBody),
            methods=["POST"],
        ),
        Route("/health", _get(service, llama_server.show_health)),
        Route("/metrics", _get(service, partial(show_metrics, totals=totals))),
        Route(
            "/tokenizer_info",
            _handle(service, llama_server.show_tokenizer),
            methods=["GET"],
        ),
        Route("/v1/scores", post(score, ScoresBody), methods=["POST"]),
        Route("/tokenize", post(llama_server.tokenize, TokenizeBody), methods=["POST"]),
        Route("/detokenize", post(llama_server.detokenize, DetokenizeBody), methods=["POST"]),
        Route(
            "/apply-template",
            post(llama_server.apply_template, ApplyTemplateBody),
            methods=["POST"],
        ),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(CountRequests, routes=routes, totals=totals),
            *(
                [
                    Middleware(
                        CORSMiddleware,
                        allow_origins=origins,
                        allow_methods=["*"],
                        allow_headers=["*"],
                    )
                ]
                if origins
                else []
            ),
            Middleware(Access, keys=list(keys), host=host, origins=origins),
        ],
        exception_handlers={HTTPException: _report_http, Exception: _report},
    )
    app.state.service = service
    return app


class _Mcp:
    """The endpoint of the Model Context Protocol, whose SDK the first request imports."""

    def __init__(self, service: Service) -> None:
        self._service, self._lock = service, asyncio.Lock()
        self._endpoint: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            if self._endpoint is None:
                try:
                    await asyncio.to_thread(import_module, "llmtool.server.mcp")
                except ModuleNotFoundError:
                    error = missing_extra("MCP", "mcp")
                    await error_response(error, "/mcp")(scope, receive, send)
                    return
                from llmtool.server.mcp import HttpEndpoint

                self._endpoint = HttpEndpoint(self._service)
        await self._endpoint(scope, receive, send)


def _post(
    service: Service,
    function: Callable[[Service, B], Awaitable[Response | dict[str, Any]]],
    kind: type[B],
) -> ASGIApp:
    """Return an endpoint that reads its body as a record."""

    async def parse_and_run(service: Service, request: Request, data: bytes) -> Response:
        check_query(request, ("beta",) if request.url.path.startswith("/v1/messages") else ())
        if len(data) > _MAX_PARSED_HERE:  # it would delay all clients
            body = await asyncio.to_thread(parse_body, data, kind)
        else:
            body = parse_body(data, kind)
        with naming_fields(getattr(body, "field_names", {})):
            result = await function(service, body)
        return JSON(result) if isinstance(result, dict) else result

    return _handle(service, parse_and_run)


def _handle(
    service: Service, function: Callable[[Service, Request, bytes], Awaitable[Response]]
) -> ASGIApp:
    """Return an endpoint that is stopped when the client disconnects.

    It is an application rather than a function, for which Starlette would wrap each message.
    """

    async def respond(request: Request, data: bytes, send: Send) -> None:
        try:
            response = await function(service, request, data)
        except Exception as exc:
            response = error_response(exc, request.url.path)
        await response(request.scope, request.receive, send)

    class Endpoint:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            try:
                data = await read_body(request)
            except Exception as exc:
                await error_response(exc, request.url.path)(scope, receive, send)
                return
            if not await is_finished(respond(request, data, send), receive):
                await Response(status_code=_CLIENT_CLOSED)(scope, receive, send)

    return Endpoint()


def _get(
    service: Service, function: Callable[[Service, Request], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            return function(service, request)
        except Exception as exc:
            return error_response(exc, request.url.path)

    return handle


async def _report(request: Request, error: Exception) -> Response:
    return error_response(error, request.url.path)


async def _report_http(request: Request, error: Exception) -> Response:
    """Report an unknown path or method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    messages = {
        HTTPStatus.NOT_FOUND: f"unknown path {request.url.path}; docs/serve.md lists them",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not supported by {request.url.path}",
    }
    message = messages.get(status, str(error.detail))
    response = error_response(RequestError(message, status=status), request.url.path)
    response.headers.update(error.headers or {})  # `Allow`
    return response
