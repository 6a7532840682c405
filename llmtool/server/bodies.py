"""Read the body of a request into a record, strictly."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmtool.errors import format_json_error
from llmtool.server.errors import RequestError
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY = 16_000_000  # bytes
_READ_SECONDS = 30.0  # to receive a body

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        RequestError: it is too large or too slow.
    """
    try:
        return await asyncio.wait_for(_read(request), _READ_SECONDS)
    except asyncio.TimeoutError:
        message = f"the body did not arrive within {_READ_SECONDS:g} s"
        raise RequestError(message, status=HTTPStatus.REQUEST_TIMEOUT) from None


def parse_body(data: bytes, kind: type[T]) -> T:
    """Return JSON as a value of a type.

    Raises:
        RequestError: it is not JSON, or a field of it is unknown or of the wrong type.

    Example:
        >>> import msgspec
        >>> class Point(msgspec.Struct, forbid_unknown_fields=True):
        ...     x: int
        >>> parse_body(b'{"x": 1}', Point)
        Point(x=1)
        >>> parse_body(b'{"x": "a"}', Point)
        Traceback (most recent call last):
        llmtool.server.errors.RequestError: x: expected `int`, got `str`
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as exc:
        raise _field_error(str(exc), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        reason = format_json_error(exc)
        raise RequestError(f"the body is not JSON: {reason}; send a JSON object") from None


async def _read(request: Request) -> bytes:
    from starlette.requests import ClientDisconnect

    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large()
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY:
                raise _too_large()
    except ClientDisconnect:
        raise RequestError("the client closed the connection") from None
    return b"".join(chunks)


def _too_large() -> RequestError:
    return RequestError(
        f"the body is larger than {MAX_BODY // 1_000_000} MB, which is the limit",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code="body_too_large",
    )


def _field_error(message: str, kind: type) -> RequestError:
    """Return the error of a field from msgspec's message."""
    reason, _, path = message.partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or None
    if unknown := re.search(r"unknown field `(.*)`", reason):
        name = unknown[1]
        is_struct = param is None and issubclass(kind, msgspec.Struct)
        fields = [field.encode_name for field in msgspec.structs.fields(kind)] if is_struct else []
        hint = suggest(name, fields)
        param = name if param is None else f"{param}.{name}"
        return RequestError(f"unknown option {param!r}{hint}", code="unknown_option", param=param)
    if missing := re.search(r"missing required field `(.*)`", reason):
        param = missing[1] if param is None else f"{param}.{missing[1]}"
        return RequestError(f"{param} is missing", param=param)
    reason = reason[:1].lower() + reason[1:]
    return RequestError(f"{param or 'the body'}: {reason}", param=param)


def reject_unsupported(body: msgspec.Struct, names: tuple[str, ...]) -> None:
    """Check that options which the server does not support are absent or have no effect.

    Raises:
        RequestError: one of them is set; the error names it.
    """
    for name in names:
        value: Any = getattr(body, name)
        if value is not msgspec.UNSET and value not in (None, False, "", [], {}, "auto", "none"):
            raise RequestError(
                f"{name} is not supported by this server; remove it",
                code="unsupported_option",
                param=name,
            )
