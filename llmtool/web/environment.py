"""The environment variables of HTTP connections: proxies and certificates."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from llmtool.errors import UsageError, os_error_reason
from llmtool.web.urls import mask_url

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def find_problem(name: str, value: str) -> str | None:
    """Return why no connection could be made with a variable, or None."""
    if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
        url = value if "://" in value else f"http://{value}"
        return find_url_problem(url, _PROXY_SCHEMES, "http://host:port or socks5://host:port")
    if name == "SSL_CERT_FILE":
        return _find_certificate_problem(value)
    if name == "SSL_CERT_DIR" and not os.path.isdir(value):
        return "no such folder; set it to a folder with certificates, or unset it"
    return None


def check_variables(find: Callable[[str, str], str | None] = find_problem) -> None:
    """Check the variables for which no connection could be made.

    Raises:
        UsageError: names the first bad variable, its value and what to do.
    """
    for name, value in sorted(os.environ.items()):
        problem = find(name, value) if value else None
        if problem is not None:
            shown = value if name.startswith("SSL_") else mask_url(value)
            raise UsageError(f"{name} {shown!r}: {problem}")


def find_url_problem(url: str, schemes: tuple[str, ...], example: str) -> str | None:
    """Return why a URL is not valid, and an example of a valid one, or None."""
    remedy = f"use a URL such as {example}"
    scheme, separator, _ = url.partition("://")
    if not separator:
        return f"no scheme; {remedy}"
    if scheme.lower() not in schemes:
        return f"unsupported scheme {scheme!r}; use {', '.join(schemes[:-1])} or {schemes[-1]}"
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete or re.search(r"\s", url) or not url.isprintable():
        return f"not a valid URL; {remedy}"
    return None


def _find_certificate_problem(path: str) -> str | None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "no certificate in the file; set it to a PEM file, or unset it"
    except (OSError, ValueError) as exc:
        reason = os_error_reason(exc) if isinstance(exc, OSError) else "invalid file name"
        return f"{reason}; set it to a PEM file, or unset it"
    return None


class Proxy(msgspec.Struct, frozen=True):
    """A proxy and the variable that names it."""

    variable: str
    url: str  # without credentials

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.variable})"


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy for a URL, if any."""
    import urllib.request

    parts = urlsplit(url)
    for kind in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (kind, kind.upper()):
            if os.environ.get(name):
                if urllib.request.proxy_bypass(parts.hostname or ""):
                    return None
                return Proxy(name, mask_url(os.environ[name]))
    return None
