"""Read the body of a request into a record, strictly."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping
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
        RequestError: it is compressed, too large or too slow.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        message = f"Content-Encoding {encoding!r} is not supported; send the body uncompressed"
        raise RequestError(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        if sys.version_info < (3, 11):
            return await asyncio.wait_for(_read(request), _READ_SECONDS)
        async with asyncio.timeout(_READ_SECONDS):  # without another task
            return await _read(request)
    except asyncio.TimeoutError:
        message = f"the body did not arrive within {_READ_SECONDS:g} s"
        raise RequestError(message, status=HTTPStatus.REQUEST_TIMEOUT) from None


def parse_body(data: bytes, kind: type[T]) -> T:
    """Return JSON as a value of a type.

    Raises:
        RequestError: it is not JSON, or a field of it is unknown, twice or of the wrong type.

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
        value = msgspec.json.decode(data, type=kind)
        _check_keys(data)
        return value
    except msgspec.ValidationError as exc:
        raise field_error(exc, kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        reason = format_json_error(exc)
        raise RequestError(f"the body is not JSON: {reason}; send a JSON object") from None


def check_query(request: Request, known: Collection[str] = ()) -> None:
    """Check that a query string has only known parameters.

    Raises:
        RequestError: it has another one, or one twice.
    """
    for name, n in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            message = f"unknown query parameter {name!r}{suggest(name, known)}"
            raise RequestError(message, code="unknown_option", param=name)
        if n > 1:
            raise RequestError(f"the query parameter {name!r} occurs twice", param=name)


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


def field_error(error: msgspec.ValidationError, kind: type, *, place: str = "") -> RequestError:
    """Return the error of a field for msgspec's, at a conversion to `kind`.

    `place` is the field of the body that was converted, if it is not the whole body.
    """
    from llmtool.field_types import choices_at, fields_at, list_values

    reason, _, where = str(error).partition(" - at `$")
    where = where.rstrip("`").lstrip(".")
    path = [int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", where)]
    where = where.replace("[...]", "")  # the value of any key
    param = ".".join(filter(None, (place, where))) or None
    if unknown := re.search(r"unknown field `(.*)`", reason):
        name = unknown[1]
        hint = suggest(name, fields_at(kind, path))
        param = name if param is None else f"{param}.{name}"
        return RequestError(f"unknown option {param!r}{hint}", code="unknown_option", param=param)
    if missing := re.search(r"missing required field `(.*)`", reason):
        param = missing[1] if param is None else f"{param}.{missing[1]}"
        return RequestError(f"{param} is missing", param=param)
    if choices := choices_at(kind, path):
        given = re.search(r"Invalid enum value ('.*')", reason)
        name = f"{param} {given[1]}" if given else f"{param}"
        return RequestError(f"{name}: must be {list_values(choices)}", param=param)
    reason = reason[:1].lower() + reason[1:]
    return RequestError(f"{param or 'the body'}: {reason}", param=param)


def reject_unsupported(body: msgspec.Struct, names: tuple[str, ...]) -> None:
    """Check that options which the server does not support are absent or have no effect.

    Raises:
        RequestError: one of them is set; the error names it.
    """
    for name in names:
        if getattr(body, name) not in (None, False, "", []):
            raise unsupported(name)


def reject_tool_choice(body: msgspec.Struct, name: str = "tool_choice") -> None:
    """Check that a reply need not call a tool.

    Raises:
        RequestError: it must.
    """
    value: Any = getattr(body, name)
    if isinstance(value, dict) and value.keys() <= {"type", "disable_parallel_tool_use"}:
        value = value.get("type")
    if value not in (None, "auto", "none"):
        raise unsupported(name)


def unsupported(name: str) -> RequestError:
    """Return the error of an option that the server does not support."""
    message = f"{name} is not supported by this server; remove it"
    return RequestError(message, code="unsupported_option", param=name)


def check_message(
    message: Mapping[str, Any],
    place: str,
    *,
    ignored: Collection[str] = (),
    parts: Collection[str] = ("text",),
    ignored_in_parts: Collection[str],
) -> None:
    """Check that a message has only a role and text, and `ignored` fields without effect.

    `parts` are the types of text in a list of parts. Role and text are checked later.

    Raises:
        RequestError: it has another field or part; the error names it.
    """
    _check_fields(message, {"role", "content", *ignored}, place)
    content = message.get("content")
    check_parts(content, parts, ignored=ignored_in_parts, place=f"{place}.content")


def check_parts(
    content: object, types: Collection[str], *, ignored: Collection[str], place: str
) -> None:
    """Check that the parts of a content, if it is a list, are texts; see `check_message`."""
    for index, part in enumerate(content if isinstance(content, list) else ()):
        path = f"{place}[{index}]"
        if not isinstance(part, dict):
            raise RequestError(f"{path}: must be an object with type and text", param=path)
        kind = part.get("type")
        if kind not in types:
            message = f"{path}: type {kind!r} is not supported; use {' or '.join(types)}"
            raise RequestError(message, code="unsupported_option", param=f"{path}.type")
        _check_fields(part, {"type", "text", *ignored}, path)


def _check_fields(value: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for name, each in value.items():
        if name not in known and each not in (None, [], {}):
            raise unsupported(f"{place}.{name}")


def _check_keys(data: bytes) -> None:
    """Check that no object of a valid JSON text has a key twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            name = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
            raise RequestError(f"the key {name!r} occurs twice in an object", param=name)

    json.loads(data, object_pairs_hook=check, parse_int=len, parse_float=len)
