"""`GET /v1/models`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from llmtool.server.bodies import check_query
from llmtool.server.errors import RequestError
from llmtool.server.responses import JSON
from llmtool.server.service import Service


def list_models(service: Service, request: Request) -> JSON:
    """Return all models.

    Raises:
        RequestError: the query asks for only some of them.
    """
    check_query(request, ("beta", "limit"))
    limit = request.query_params.get("limit", "")
    if limit and not (limit.isdigit() and int(limit[:9]) >= len(service.boxes)):
        message = f"limit {limit!r}: must be at least {len(service.boxes)}, the number of models"
        raise RequestError(message, param="limit")
    data = [_document(service, name) for name in service.boxes]
    return JSON({"object": "list", "data": data})


def show_model(service: Service, request: Request) -> JSON:
    """Return one model.

    Raises:
        ModelNotFound: the server does not have it.
    """
    check_query(request)
    name, _ = service.find(unquote(request.path_params["name"]))
    return JSON(_document(service, name))


def _document(service: Service, name: str) -> dict[str, Any]:
    created = int(service.started_at)
    document = {"id": name, "object": "model", "created": created, "owned_by": "llmtool"}
    if (engine := service.boxes[name].loaded_engine) is not None:
        document["max_model_len"] = engine.info.n_ctx  # as in vLLM
    return document
