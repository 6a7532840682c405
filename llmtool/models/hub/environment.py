"""The environment variables that the Hub client and its libraries read: check them, name them."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from llmtool.errors import UsageError, os_error_reason

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_FOLDER = "a folder that you can write to"
_PATHS: Final = {
    "HF_TOKEN_PATH": "a file that you can read",
    "HF_HUB_CACHE": _FOLDER,
    "HUGGINGFACE_HUB_CACHE": _FOLDER,
    "HF_HOME": _FOLDER,
    "XDG_CACHE_HOME": _FOLDER,
}
_READ = re.compile(
    r"HF_(?!HUB_DISABLE_).*|HUGGING.*|SSL.*|(http|https|all|no)_proxy", re.IGNORECASE
)


def mask_url(url: str) -> str:
    """Return a URL without user name and password.

    Example:
        >>> mask_url("http://user:secret@host:80")
        'http://***@host:80'
    """
    return re.sub(r"^([^/]*//)?.*@", lambda match: f"{match[1] or ''}***@", url)


def check() -> None:
    """Check the variables for which no connection could be made.

    Raises:
        UsageError: names the first bad variable, its value and what to do.
    """
    for name, value in sorted(os.environ.items()):
        problem = _find_problem(name, value) if value else None
        if problem is not None:
            shown = value if name.startswith("SSL_") else mask_url(value)
            raise UsageError(f"{name} {shown!r}: {problem}")


def check_for_import() -> None:
    """Check the variables that huggingface_hub reads when it is imported.

    Raises:
        UsageError: as `check`.
    """
    for name, value in sorted(os.environ.items()):
        if re.fullmatch(r"HF_HUB_\w+_TIMEOUT", name) and not re.fullmatch(r"\s*\d+\s*", value):
            raise UsageError(f"{name} {value!r}: must be a whole number of seconds")
        if name == "HF_HUB_VERBOSITY" and value.lower() not in _LEVELS:
            raise UsageError(
                f"{name} {value!r}: must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}"
            )


def _find_problem(name: str, value: str) -> str | None:
    if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
        url = value if "://" in value else f"http://{value}"
        return _find_url_problem(url, _PROXY_SCHEMES, "http://host:port or socks5://host:port")
    if name == "HF_ENDPOINT":
        return _find_url_problem(value, ("http", "https"), "https://huggingface.co")
    if name == "HF_HUB_USER_AGENT_ORIGIN" and not re.fullmatch(r"[ -~]+", value):
        return "must be printable ASCII"
    if name == "SSL_CERT_FILE":
        return _find_certificate_problem(value)
    if name == "SSL_CERT_DIR" and not os.path.isdir(value):
        return "no such folder; set it to a folder with certificates, or unset it"
    return None


def _find_url_problem(url: str, schemes: tuple[str, ...], example: str) -> str | None:
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


@contextlib.contextmanager
def setup_errors() -> Iterator[None]:
    """Convert any error of a library that reads its settings to a `UsageError`.

    Raises:
        UsageError: names the variables in the error, or else all that are set.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as exc:  # noqa: BLE001 - the libraries raise anything for a bad value
        reason = " ".join(str(exc).split()).partition(". ")[0] or type(exc).__name__
        given = {name: v for name, v in sorted(os.environ.items()) if v and _READ.fullmatch(name)}
        named = [name for name, value in given.items() if name in reason or value in reason]
        check = ", ".join(named or given)
        for name in named:
            reason = reason.replace(
                given[name], "***" if "TOKEN" in name else mask_url(given[name])
            )
        raise UsageError(
            f"cannot prepare a connection to the Hub: {reason}; check {check}"
        ) from exc


class Proxy(msgspec.Struct, frozen=True):
    """A proxy and the variable that names it."""

    variable: str
    url: str  # without credentials

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.variable})"


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy for a URL, if any."""
    parts = urlsplit(url)
    for kind in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (kind, kind.upper()):
            if os.environ.get(name):
                if urllib.request.proxy_bypass(parts.hostname or ""):
                    return None
                return Proxy(name, mask_url(os.environ[name]))
    return None


def name_path(path: Path, problem: str) -> str:
    """Return a problem with a path, after the variable that the path comes from, if any."""
    for name, remedy in _PATHS.items():
        value = os.environ.get(name)
        if value and path.absolute().is_relative_to(Path(os.path.expanduser(value)).absolute()):
            return f"{name} {value!r}: {problem}; set it to {remedy}"
    return problem
