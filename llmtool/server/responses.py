"""HTTP responses: JSON by msgspec, and server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmtool.server.errors import (
    RETRY_SECONDS,
    anthropic_error,
    describe,
    error_document,
    log_failure,
)

_encode = msgspec.json.Encoder().encode


class JSON(Response):
    """A JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encode(content)


class Stream(Response):
    """Chunks of a generator, which is closed at the end or when this call is cancelled."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._chunks = chunks
        self.raw_headers = [
            (b"content-type", f"{media_type}; charset=utf-8".encode()),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in chunks:
                if chunk:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def is_finished(response: Awaitable[object], receive: Receive) -> bool:
    """Wait for a response, or stop it when the client disconnects; return whether it is finished.

    Raises:
        BaseException: what the response raises.
    """
    responding = asyncio.ensure_future(response)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait([responding, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not responding.done():
            return False
        responding.result()
        return True
    finally:
        for task in (leaving, responding):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
    log_failure(error, info)
    headers = {}
    if info.code in ("queue_full", "loading"):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if info.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    document = anthropic_error if path.startswith("/v1/messages") else error_document
    return JSON(document(error), status_code=info.status, headers=headers)
