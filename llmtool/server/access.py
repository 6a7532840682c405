"""Who may call the server: API keys, and the addresses that browsers send."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llmtool.server.errors import RequestError
from llmtool.server.responses import error_response

OPEN_PATHS = frozenset({"/", "/health"})  # need no key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Rejects requests without a key, or that a page of another site may have sent.

    Args:
        app: the server.
        keys: accepted keys, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`; none are needed if
            it is empty.
        host: the address that the server listens on. On a loopback address, the `Host` header must
            name one as well: another name may be a site's, resolved to this machine.
        origins: sites whose pages may call the server; others get an error.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Iterable[str], host: str, origins: Iterable[str]
    ) -> None:
        self._app = app
        self._keys = [_digest(key.encode()) for key in keys]
        self._is_loopback, self._origins = is_loopback(host), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["path"], scope["method"], Headers(scope=scope))
            except RequestError as exc:
                await error_response(exc, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._is_loopback and not is_loopback(_host_name(host)):
            raise RequestError(
                f"the Host header {host!r} does not name this machine; use localhost",
                status=HTTPStatus.FORBIDDEN,
                code="forbidden_host",
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and _netloc(origin) != host:
            raise RequestError(
                f"this server does not allow pages of {origin}; allow the site when it is started",
                status=HTTPStatus.FORBIDDEN,
                code="forbidden_origin",
            )
        if self._keys and path not in OPEN_PATHS and method != "OPTIONS":
            kind, _, given = headers.get("authorization", "").partition(" ")
            text = given if kind.lower() == "bearer" else headers.get("x-api-key", "")
            key = _digest(text.strip().encode("latin-1"))  # as it was sent
            # Every key is compared, so that the time does not depend on which one matches.
            if sum(hmac.compare_digest(key, each) for each in self._keys) == 0:
                raise RequestError(
                    "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'",
                    status=HTTPStatus.UNAUTHORIZED,
                    code="invalid_api_key",
                )


def _host_name(host: str) -> str:
    """Return the name in a Host header, without the port and a dot at its end.

    Example:
        >>> _host_name("[::1]:8080"), _host_name("LOCALHOST.")
        ('::1', 'localhost')
    """
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """Return host and port of an Origin header, or None if it has none, such as `null`."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
