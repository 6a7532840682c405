"""Errors of a server: from a status and a body, or a failed connection, to ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from llmtool.engine.openai.endpoint import Endpoint
from llmtool.errors import (
    Cancelled,
    ContextOverflow,
    DownloadError,
    ExitCode,
    InputError,
    LlmtoolError,
    ModelNotFound,
    OutputValidationError,
    ServerError,
    UsageError,
)
from llmtool.web.errors import TransientError, request_errors

_MAX_TEXT = 300  # characters of a message of the server
_TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|maximum context|exceeds? .{0,40}context|too many tokens|"
    r"prompt is too long|input is too long|longer than .{0,30}(context|model)",
    re.IGNORECASE | re.DOTALL,
)
_UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
# In errors with status 500, by which llama_cpp.server reports requests that it rejects.
_REJECTED = re.compile(
    r"validation error|'loc': \('body'|input should be|invalid_request|not supported|unsupported|"
    r"invalid (request|value|json|schema|grammar|argument|parameter)|parsing grammar",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d[\d,]*")


class Retryable(Exception):
    """A failure that may not happen again; `error` is the error of the last attempt.

    `is_overload` is whether fewer requests at once may help, and `wait` the seconds that the server
    asks for. `is_fatal` is whether other requests will fail too. `is_starting` is whether the
    server starts, or will be available after `wait`.
    """

    def __init__(
        self,
        error: LlmtoolError,
        *,
        is_overload: bool = False,
        is_fatal: bool = False,
        is_starting: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error, self.is_overload, self.is_fatal = error, is_overload, is_fatal
        self.is_starting, self.wait = is_starting, wait


class UnsupportedField(UsageError):
    """The model does not support a field of a body, or its value."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class Fatal(Exception):
    """An error that all other requests of the endpoint would have as well."""

    def __init__(self, error: LlmtoolError) -> None:
        super().__init__(str(error))
        self.error = error

    def as_stop(self) -> Cancelled:
        """Return the error as one that stops a batch, which keeps its complete results."""
        kinds = (_KeyRejected, _ModelGone, _ServerGone)
        kind = next((each for each in kinds if isinstance(self.error, each.__bases__[0])), None)
        return (kind or _ServerGone)(str(self.error))


class _ServerGone(ServerError, Cancelled):
    pass


class _KeyRejected(UsageError, Cancelled):
    pass


class _ModelGone(ModelNotFound, Cancelled):
    pass


def shorten(text: object) -> str:
    """Return a server's text in one short line without control characters.

    Example:
        >>> shorten("a\\nb\\x1b[0m")
        'a b?[0m'
    """
    line = " ".join(str(text)[: 4 * _MAX_TEXT].split())
    line = "".join(each if each.isprintable() else "?" for each in line)
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def quote(endpoint: Endpoint, text: object) -> str:
    """Return a text of a server for a message; it may repeat the key."""
    return shorten(endpoint.redact(str(text)))


def invalid_reply(endpoint: Endpoint, problem: str) -> ServerError:
    """Return the error for a response that is not one of the API."""
    reason = quote(endpoint, problem)
    return ServerError(f"{endpoint.name}: invalid response of the server: {reason}")


@contextlib.contextmanager
def connection_errors(endpoint: Endpoint) -> Iterator[None]:
    """Map the exceptions of the HTTP library.

    Raises:
        Retryable: the connection failed, or was lost.
        Fatal: it cannot be made, as its certificate is not trusted.
    """
    try:
        with request_errors(endpoint.base_url):
            yield
    except (Retryable, Fatal):
        raise
    except TransientError as exc:
        remedy = exc.remedy or f"check {endpoint.url_name}, and whether the server runs"
        start = f"{endpoint.name}: " if endpoint.is_named else ""  # the error names the host
        error = ServerError(f"{start}{exc}; {remedy}")
        is_stall = "responding" in str(exc)
        raise Retryable(error, is_overload=is_stall, is_fatal=not is_stall) from None
    except DownloadError as exc:
        raise Fatal(ServerError(f"{endpoint.name}: {exc}")) from None


def stalled(endpoint: Endpoint, seconds: float, setting: str) -> Retryable:
    """Return the error for a server that sends nothing for too long."""
    remedy = (
        f"raise endpoints.{endpoint.name}.{setting}"
        if endpoint.is_named
        else f"name the server in the settings (endpoints.NAME), and raise its {setting}"
    )
    error = ServerError(
        f"{endpoint.name}: no token of the server for {seconds:g} s; try again, or {remedy}"
    )
    return Retryable(error, is_overload=True)


def redirected(endpoint: Endpoint, host: str) -> Fatal:
    where = quote(endpoint, host)
    problem = f"the server redirects to {where}; set {endpoint.url_name} to its address"
    return Fatal(ServerError(f"{endpoint.name}: {problem}"))


def response_error(
    endpoint: Endpoint, status: int, body: bytes, headers: Any, *, model: str, path: str
) -> Exception:
    """Return the error of a response: a `Retryable`, a `Fatal`, or one of a single request."""
    message, code = read_error(body)
    detail = f": {quote(endpoint, message)}" if message else ""
    start = f"{endpoint.name}: HTTP {status}"
    if status in (401, 403):
        return Fatal(_key_error(endpoint, status, detail))
    if status == 402 or code == "insufficient_quota":
        return Fatal(ServerError(f"{start}{detail}; check the account of the key"))
    wait = _read_wait(headers)
    if status == 503 and (wait is not None or "loading" in message.lower()):
        error = ServerError(f"{start}: the server is not ready{detail}; try again later")
        is_overload = wait is not None
        return Retryable(error, is_overload=is_overload, is_fatal=True, is_starting=True, wait=wait)
    if status in (429, 503, 408, 425, 529):
        reason = "too many requests" if status == 429 else "the server is overloaded"
        error = ServerError(f"{start}: {reason}{detail}; try again later")
        return Retryable(error, is_overload=True, is_fatal=True, wait=wait)
    if status >= 500 and not _REJECTED.search(message):
        error = ServerError(f"{start}: the server failed{detail}; see its log")
        return Retryable(error, wait=wait)
    if status == 404:
        if code == "model_not_found" or "model" in message.lower():
            return Fatal(
                ModelNotFound(
                    f"{endpoint.name} has no model {model!r}; list its models with `llmtool models "
                    f"ls`"
                )
            )
        advice = f"check {endpoint.url_name}, {endpoint.base_url}"
        if path.endswith(("/files", "/batches")):
            advice = "use `llmtool batch run` for a server without batches"
        return UsageError(f"{start}: the server has no {path}{detail}; {advice}")
    if status == 413:
        return ContextOverflow(
            f"{start}: the request is larger than the server accepts; shorten the input",
            needed=0,
            available=0,
        )
    return request_error(endpoint, body, f"{start}{detail}")


def request_error(endpoint: Endpoint, body: bytes, fallback: str) -> LlmtoolError:
    """Return the error of a request that the server rejects, by its body."""
    message, code = read_error(body)
    if code == "context_length_exceeded" or _TOO_LONG.search(message):
        numbers = [int(each.replace(",", "")) for each in _NUMBER.findall(message)[:8]]
        return ContextOverflow(
            f"{endpoint.name}: {quote(endpoint, message)}",
            needed=max(numbers, default=0),
            available=min(numbers, default=0),
        )
    kinds: dict[str, type[LlmtoolError]] = {
        ExitCode.INPUT.name: InputError,
        ExitCode.INVALID_OUTPUT.name: OutputValidationError,
        ExitCode.MODEL_NOT_FOUND.name: ModelNotFound,
    }
    kind = kinds.get(_exit_code(body), UsageError)
    text = f"{endpoint.name}: {quote(endpoint, message)}" if message else fallback
    if code in _UNSUPPORTED and (field := _read_field(body)):
        return UnsupportedField(text, field=field)
    return kind(text)


def read_error(body: bytes) -> tuple[str, str]:
    """Return the message and the code of an error's body, "" if it has none.

    Example:
        >>> read_error(b'{"error": {"message": "no such model", "code": "model_not_found"}}')
        ('no such model', 'model_not_found')
    """
    document = _decode(body)
    error = document.get("error", document)
    if isinstance(error, str):
        return error, ""
    if not isinstance(error, dict):
        return "", ""
    message = error.get("message") or error.get("detail") or ""
    return str(message), str(error.get("code") or "")


def _read_field(body: bytes) -> str:
    error = _decode(body).get("error")
    return str(error.get("param") or "") if isinstance(error, dict) else ""


def _exit_code(body: bytes) -> str:
    error = _decode(body).get("error")
    return str(error.get("exit_code")) if isinstance(error, dict) else ""


def _decode(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def _key_error(endpoint: Endpoint, status: int, detail: str) -> UsageError:
    remedy = "check" if endpoint.key is not None else "set"
    reason = "rejects the key" if endpoint.key is not None else "needs a key"
    return UsageError(
        f"{endpoint.name}: HTTP {status}: the server {reason}{detail}; {remedy} "
        f"{endpoint.key_source}"
    )


def _read_wait(headers: Any) -> float | None:
    """Return the seconds of `Retry-After`, which is a number or a date."""
    text = str(headers.get("retry-after") or "")[:100].strip()
    if not text:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        import time

        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None
