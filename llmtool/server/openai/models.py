"""`GET /v1/models`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from llmtool.server.responses import JSON
from llmtool.server.service import Service


def list_models(service: Service, request: Request) -> JSON:
    data = [_document(service, name) for name in service.boxes]
    return JSON({"object": "list", "data": data})


def show_model(service: Service, request: Request) -> JSON:
    """Return one model.

    Raises:
        ModelNotFound: the server does not have it.
    """
    name, _ = service.find(unquote(request.path_params["name"]))
    return JSON(_document(service, name))


def _document(service: Service, name: str) -> dict[str, Any]:
    created = int(service.started_at)
    return {"id": name, "object": "model", "created": created, "owned_by": "llmtool"}
