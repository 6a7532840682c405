"""Errors of the server: the HTTP status and the code of each error."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec

from llmtool.errors import (
    Cancelled,
    ClosedError,
    ContextOverflow,
    ExitCode,
    InputError,
    LlmtoolError,
    ModelNotFound,
    OutputValidationError,
    TimeoutExpired,
    UnsatisfiableError,
    UsageError,
)
from llmtool.option_names import rename_options, show_value

_log = logging.getLogger("llmtool.server")
RETRY_SECONDS = 1  # in `Retry-After` while the queue is full or the model loads


class RequestError(LlmtoolError):
    """A request that the server rejects; `param` is the field that is wrong, if it is one."""

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        message: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class QueueFull(RequestError):
    """As many requests as allowed are waiting."""

    def __init__(self, n_waiting: int) -> None:
        super().__init__(
            f"{n_waiting} requests are waiting, which is the limit; try again later",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            code="queue_full",
        )


_OF_SERVER = {"n_ctx": "the server's --ctx-size"}


def format_field(name: str, value: tuple[object, ...]) -> str:
    """Return how a message names a field of a body, or an option that only the server has.

    Example:
        >>> format_field("top_p", ()), format_field("top_p", (2.0,))
        ('top_p', 'top_p 2')
    """
    name = _OF_SERVER.get(name, name)
    return " ".join([name, *(show_value(_as_typed(each)) for each in value)])


def _as_typed(value: object) -> object:
    """Return a number that JSON has without a fraction as an integer."""
    return (
        int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        else value
    )


@contextmanager
def naming(param: str, *, code: str | None = "invalid_schema") -> Iterator[None]:
    """Name the field of a body in the errors of its value."""
    try:
        yield
    except RequestError:
        raise
    except UsageError as exc:
        error = RequestError(f"{param}: {exc}", code=code, param=param)
        error.exit_code = exc.exit_code
        raise error from None


@contextmanager
def naming_fields(names: Mapping[str, str]) -> Iterator[None]:
    """Name options by the fields of an API in the errors of a block."""
    with rename_options(names):
        try:
            yield
        except LlmtoolError as exc:
            exc.args = (str(exc), *exc.args[1:])  # an engine's message names them only now
            if isinstance(exc, UsageError) and exc.option is not None:
                exc.option = names.get(exc.option, exc.option)
            raise


class ErrorInfo(msgspec.Struct, frozen=True):
    """What a response says about an error; `exit_code` is the name of the command's exit code."""

    message: str
    status: HTTPStatus
    code: str | None
    param: str | None
    exit_code: str


# The first class that an error is an instance of, with its status and code.
_STATUS: tuple[tuple[type[LlmtoolError], HTTPStatus, str | None], ...] = (
    (ContextOverflow, HTTPStatus.BAD_REQUEST, "context_length_exceeded"),
    (UnsatisfiableError, HTTPStatus.BAD_REQUEST, "invalid_schema"),
    (ModelNotFound, HTTPStatus.NOT_FOUND, "model_not_found"),
    (UsageError, HTTPStatus.BAD_REQUEST, None),
    (InputError, HTTPStatus.BAD_REQUEST, "invalid_input"),
    (OutputValidationError, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_output"),
    (TimeoutExpired, HTTPStatus.GATEWAY_TIMEOUT, "timeout"),
    (Cancelled, HTTPStatus.SERVICE_UNAVAILABLE, "shutting_down"),
    (ClosedError, HTTPStatus.SERVICE_UNAVAILABLE, "shutting_down"),
)


def describe(error: BaseException) -> ErrorInfo:
    """Return what a response says about an error.

    Example:
        >>> from llmtool.errors import ContextOverflow
        >>> info = describe(ContextOverflow("too long", needed=9, available=8))
        >>> info.status.value, info.code, info.exit_code
        (400, 'context_length_exceeded', 'CONTEXT')
    """
    if isinstance(error, RequestError):
        return ErrorInfo(str(error), error.status, error.code, error.param, error.exit_code.name)
    if not isinstance(error, LlmtoolError):
        return ErrorInfo(
            "the server failed; its log has the reason",
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            None,
            ExitCode.ERROR.name,
        )
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            param = error.option if isinstance(error, UsageError) else None
            param = "model" if isinstance(error, ModelNotFound) else param
            return ErrorInfo(str(error), status, code, param, error.exit_code.name)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return ErrorInfo(str(error), status, None, None, error.exit_code.name)


def log_failure(error: BaseException, info: ErrorInfo) -> None:
    """Log where an error was raised that is a fault of the server."""
    if info.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed: %s", _describe_failure(error))


def _describe_failure(error: BaseException) -> str:
    """Return the type of an error and where it was raised; its message may contain a prompt."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " in ".join(
        [type(error).__name__, *(f"{each.filename}:{each.lineno}" for each in frames[::-1])]
    )


def error_document(error: BaseException) -> dict[str, Any]:
    """Return an error in OpenAI's form, with the name of the command's exit code."""
    info = describe(error)
    kind = "invalid_request_error" if info.status < 500 else "server_error"
    return {
        "error": {
            "message": info.message,
            "type": kind,
            "param": info.param,
            "code": info.code,
            "exit_code": info.exit_code,
        }
    }


_ANTHROPIC_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
}


def anthropic_error(error: BaseException) -> dict[str, Any]:
    """Return an error in Anthropic's form, with the name of the command's exit code."""
    info = describe(error)
    default = "invalid_request_error" if info.status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(info.status, default)
    details = {"type": kind, "message": info.message, "exit_code": info.exit_code}
    return {"type": "error", "error": details}
