"""Answer the requests of a batch file, as the server would."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from http import HTTPStatus
from typing import Any

import msgspec

from llmtool.batch.request_files import CHAT, TEXT, FileRequest
from llmtool.errors import Cancelled, LlmtoolError
from llmtool.server.bodies import parse_body
from llmtool.server.errors import (
    RequestError,
    describe,
    error_document,
    log_failure,
    naming_fields,
)
from llmtool.server.openai.chat import complete_chat
from llmtool.server.openai.completions import complete
from llmtool.server.openai.schemas import ChatBody, CompletionBody
from llmtool.server.service import Service
from llmtool.toolbox import Toolbox

_MAX_AHEAD = 128  # requests that wait for an earlier one
_POLL_SECONDS = 0.02
_NO_LIMIT_SECONDS = 365.0 * 86_400
Line = FileRequest | LlmtoolError | None


class Answer(msgspec.Struct, frozen=True):
    """The line of a result, the message of its error, and the model that was asked for."""

    line: bytes
    error: str | None
    model: str | None


async def answer_requests(
    box: Toolbox, name: str, lines: Iterator[Line], *, answered: Collection[str] = ()
) -> AsyncGenerator[Answer, None]:
    """Yield the answers to the requests of a file, in order; several run at once.

    Requests that name another model are answered, too. A request that is invalid or fails gets a
    result with the server's error.

    Args:
        box: a `concurrent` toolbox, which is closed at the end.
        lines: as `read_requests` yields them.
        answered: the ids of earlier requests, which must not occur again.

    Raises:
        Cancelled: the toolbox was stopped.
    """
    service = Service({name: box}, functions={}, max_queue=_MAX_AHEAD, timeout=_NO_LIMIT_SECONDS)
    running: deque[asyncio.Task[Answer]] = deque()
    seen: set[str] = set()
    try:
        for line in lines:
            if line is None:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                is_known = False
                if isinstance(line, FileRequest):
                    is_known = line.custom_id in seen or line.custom_id in answered
                    seen.add(line.custom_id)
                running.append(asyncio.create_task(_answer(service, line, is_known=is_known)))
                await asyncio.sleep(0)
            while running and (running[0].done() or len(running) >= _MAX_AHEAD):
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        service.close()


async def _answer(service: Service, line: FileRequest | LlmtoolError, *, is_known: bool) -> Answer:
    custom_id = model = None
    try:
        if isinstance(line, LlmtoolError):
            raise line
        custom_id = line.custom_id
        if is_known:
            message = f"custom_id {custom_id!r} occurs twice; each request needs its own"
            raise RequestError(message, param="custom_id")
        call, body = _read(service, line)
        model = body.model
        body.model = None  # the only one
        with naming_fields(getattr(body, "field_names", {})):
            document = await call(body)
        return Answer(_encode(custom_id, HTTPStatus.OK, document), None, model)
    except Cancelled:
        raise
    except Exception as exc:
        found = describe(exc)
        log_failure(exc, found)
        line_of_error = _encode(custom_id, found.status, error_document(exc))
        return Answer(line_of_error, found.message, model)


def _read(
    service: Service, line: FileRequest
) -> tuple[Callable[[Any], Awaitable[Any]], ChatBody | CompletionBody]:
    """Return the function that answers a request, and its body.

    Raises:
        RequestError: it is not valid.
    """
    if line.method != "POST":
        raise RequestError(f"method {line.method!r}: must be POST", param="method")
    if line.url == CHAT:
        body: ChatBody | CompletionBody = parse_body(bytes(line.body), ChatBody)
        function: Callable[..., Awaitable[Any]] = complete_chat
    elif line.url == TEXT:
        body, function = parse_body(bytes(line.body), CompletionBody), complete
    else:
        raise RequestError(f"url {line.url!r}: must be {CHAT} or {TEXT}", param="url")
    if body.stream:
        raise RequestError("stream is not supported in batch files; remove it", param="stream")
    return lambda body: function(service, body), body


def _encode(custom_id: str | None, status: HTTPStatus, document: dict[str, Any]) -> bytes:
    """Return a line of a result file."""
    result = {
        "id": f"batch_req_{uuid.uuid4().hex}",
        "custom_id": custom_id,
        "response": {
            "status_code": status.value,
            "request_id": uuid.uuid4().hex,
            "body": document,
        },
        "error": None,
    }
    return msgspec.json.encode(result) + b"\n"
