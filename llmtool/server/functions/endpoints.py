"""`/v1/functions`, and the description of the functions for generated clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llmtool.errors import LlmtoolError
from llmtool.server.bodies import check_query, parse_body
from llmtool.server.errors import RequestError, error_document
from llmtool.server.functions.calls import call, call_each, find
from llmtool.server.functions.catalogue import Function
from llmtool.server.functions.openapi import QUERY, describe
from llmtool.server.responses import JSON, Stream
from llmtool.server.service import Service
from llmtool.tasks.results import Result
from llmtool.toolbox import Toolbox

_encode = msgspec.json.Encoder().encode
Body = dict[str, Any] | list[dict[str, Any]]


def list_functions(service: Service, request: Request) -> JSON:
    """Return the names, descriptions and schemas of the functions."""
    check_query(request)
    data = [
        {
            "name": each.name,
            "description": each.description,
            "parameters": each.parameters,
            "result": each.result,
        }
        for each in service.functions.values()
    ]
    return JSON({"object": "list", "data": data})


def show_openapi(service: Service, request: Request) -> JSON:
    """Return the description of the functions as an OpenAPI document."""
    check_query(request)
    return JSON(describe(service.functions))


async def call_function(service: Service, request: Request, data: bytes) -> Response:
    """Call a function with the arguments in the body, or with each item of a list of arguments.

    Raises:
        LlmtoolError: the function is unknown, or the call failed.
    """
    function = find(service.functions, request.path_params["name"])
    check_query(request, function.query)
    model, options = _options(request.query_params)
    _, box = service.find(model)
    body: Body = parse_body(data, Body)  # type: ignore[arg-type]
    if isinstance(body, dict):
        arguments = body
        result = await service.call(box, lambda: call(box.context, function, arguments, options))
        return JSON(result.to_dict())
    rows = _rows(service, box, function, body, options)
    return Stream(rows, "application/x-ndjson")


async def _rows(
    service: Service,
    box: Toolbox,
    function: Function,
    batch: list[dict[str, Any]],
    options: dict[str, Any],
) -> AsyncGenerator[bytes, None]:
    """Yield a line of JSON for each call: its index, and its result or its error."""
    outcomes = service.stream(box, lambda: call_each(box.context, function, batch, options))
    index = 0
    try:
        async for outcome in outcomes:
            yield _row(index, outcome)
            index += 1
    except LlmtoolError as exc:  # ends the whole batch
        while index < len(batch):
            yield _row(index, exc)
            index += 1
    finally:
        await outcomes.aclose()


def _row(index: int, outcome: Result | LlmtoolError) -> bytes:
    document = (
        {"result": outcome.to_dict()} if isinstance(outcome, Result) else error_document(outcome)
    )
    return _encode({"index": index, **document}) + b"\n"


def _options(query: Mapping[str, str]) -> tuple[str | None, dict[str, Any]]:
    """Return the model and the sampling options of a query string.

    Raises:
        RequestError: an option is not a number.
    """
    options: dict[str, Any] = {}
    for name, text in query.items():
        try:
            options[name] = msgspec.convert(text, QUERY[name], strict=False)
        except msgspec.ValidationError as exc:
            raise RequestError(f"{name} {text!r}: {exc}".lower(), param=name) from None
    return options.pop("model", None), options
