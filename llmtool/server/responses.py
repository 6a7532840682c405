"""HTTP responses: JSON by msgspec, and server-sent events."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import anyio
import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from llmtool.server.errors import RETRY_SECONDS, anthropic_error, describe, error_document

_log = logging.getLogger("llmtool.server")
_encode = msgspec.json.Encoder().encode


class JSON(Response):
    """A JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encode(content)


class Stream(StreamingResponse):
    """Chunks of a generator, which is closed when the client disconnects."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(
            chunks,
            media_type=media_type,
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._chunks = chunks

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._chunks.aclose()


def sse(data: Any, *, event: str | None = None) -> bytes:
    """Return a server-sent event.

    Example:
        >>> sse({"a": 1}, event="delta")
        b'event: delta\\ndata: {"a":1}\\n\\n'
    """
    name = b"" if event is None else f"event: {event}\n".encode()
    return name + b"data: " + _encode(data) + b"\n\n"


def error_response(error: BaseException, path: str) -> JSON:
    """Return an error in the format of the API that the path belongs to."""
    info = describe(error)
    if info.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed: %s", _describe_failure(error))
    headers = {}
    if info.code in ("queue_full", "loading"):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if info.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    document = anthropic_error if path.startswith("/v1/messages") else error_document
    return JSON(document(error), status_code=info.status, headers=headers)


def _describe_failure(error: BaseException) -> str:
    """Return the type of an error and where it was raised; its message may contain a prompt."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " in ".join(
        [type(error).__name__, *(f"{each.filename}:{each.lineno}" for each in frames[::-1])]
    )
