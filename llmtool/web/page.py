"""Read a web page or a file at a URL that the user named, in bounded time and size."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urldefrag, urljoin, urlsplit

import msgspec

from llmtool._version import __version__
from llmtool.background import run_cancellable
from llmtool.encoding import MAX_BYTES, too_long
from llmtool.errors import DownloadError, InputError, UsageError
from llmtool.file_kinds import PDF, SAMPLE_BYTES, find_binary_kind, not_text
from llmtool.web.client import make_timeout, open_client
from llmtool.web.environment import check_variables
from llmtool.web.errors import TransientError, request_errors
from llmtool.web.urls import DEFAULT_PORTS, find_host, is_web_url, mask_url

if TYPE_CHECKING:
    from llmtool.web.client import Client, Response

_MEDIA = ("image/", "audio/", "video/", "font/")  # but SVG images are XML
_STATUS: Final = {
    401: "requires a login (HTTP 401); download it with another program, and pass the file",
    403: "access denied (HTTP 403); download it with another program, and pass the file",
    404: "not found (HTTP 404); check the URL",
    410: "no longer exists (HTTP 410); check the URL",
    429: "too many requests (HTTP 429); try again later",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a request may take, and how much it may return."""

    connect_seconds: float = 10
    stall_seconds: float = 20  # between two parts of the response
    total_seconds: float = 60
    max_bytes: int = MAX_BYTES
    max_redirects: int = 10


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a URL, its media type, such as `text/html`, and the declared encoding."""

    content: bytes
    media_type: str = ""
    charset: str | None = None


def fetch(
    url: str,
    *,
    limits: Limits = Limits(),
    on_redirect: Callable[[str], object] = lambda host: None,
    check: Callable[[], object] = lambda: None,
) -> Page:
    """Return the content of an http or https URL, which must be text or a PDF.

    Proxies and certificates are those of the environment. No credentials are sent.

    Args:
        on_redirect: called with each other host (and port) that the URL redirects to.
        check: polled; raises to stop waiting.

    Raises:
        UsageError: the URL is not valid, or has another scheme or a password.
        DownloadError: the server cannot be reached, reports an error, or is too slow.
        InputError: the content is an image, an archive or other data that is not text.
        ContextOverflow: the content is longer than `limits.max_bytes`.
    """
    check_url(url)
    check_variables()
    hosts: deque[str] = deque()
    end = time.monotonic() + limits.total_seconds

    def poll() -> None:
        while hosts:
            on_redirect(hosts.popleft())
        check()
        if time.monotonic() > end:
            raise DownloadError(
                f"{url}: not complete after {limits.total_seconds:.0f} s; download it with another "
                "program, and pass the file"
            )

    try:
        page = run_cancellable(lambda: _fetch(url, limits, hosts.append), poll)
    except TransientError as exc:
        raise DownloadError(f"{url}: {exc}; {exc.remedy or 'check the URL'}") from exc
    finally:
        while hosts:
            on_redirect(hosts.popleft())
    return page


def check_url(url: str) -> None:
    """Check a URL that the user named.

    Raises:
        UsageError: it is not a valid http or https URL, or has a user name or password.
    """
    scheme = url.partition("://")[0]
    if scheme.lower() not in DEFAULT_PORTS:
        raise UsageError(
            f"{mask_url(url)}: unsupported scheme {scheme!r}; use an http or https URL, or a file"
        )
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"\s", url):
        raise UsageError(f"{mask_url(url)}: not a valid URL; check it")
    if "@" in parts.netloc:
        raise UsageError(
            f"{mask_url(url)}: user names and passwords in URLs are not supported; download it "
            "with another program, and pass the file"
        )


def _fetch(url: str, limits: Limits, on_redirect: Callable[[str], object]) -> Page:
    with request_errors(url):
        client = open_client()
    with client:
        current = urldefrag(url).url
        for _ in range(limits.max_redirects + 1):
            found = _request(client, url, current, limits)
            if isinstance(found, Page):
                return found
            if not is_web_url(found) or "@" in urlsplit(found).netloc:
                raise DownloadError(
                    f"{url}: redirects to {mask_url(found)!r}, which cannot be read; check the URL"
                )
            if _is_other_host(current, found):
                on_redirect(find_host(found))
            current = found
    raise DownloadError(f"{url}: more than {limits.max_redirects} redirects; check the URL")


def _request(client: Client, url: str, current: str, limits: Limits) -> Page | str:
    """Return the content of a URL, or the URL that it redirects to."""
    timeout = make_timeout(
        limits.stall_seconds, connect=limits.connect_seconds, read=limits.stall_seconds
    )
    headers = {
        "User-Agent": f"llmtool/{__version__}",
        "Accept": "text/html,text/plain;q=0.9,*/*;q=0.5",
        "Accept-Encoding": "gzip, deflate",
    }
    with (
        request_errors(current),
        client.stream("GET", current, headers=headers, timeout=timeout) as response,
    ):
        location = response.headers.get("Location")
        if response.is_redirect and location:
            return urldefrag(urljoin(current, location)).url
        status = response.status_code
        if status != 200:
            reason = _STATUS.get(status) or (
                f"server error (HTTP {status}); try again later"
                if status >= 500
                else f"unexpected response (HTTP {status}); check the URL"
            )
            raise DownloadError(f"{url}: {reason}")
        header = response.headers.get("Content-Type", "")
        media_type = header.partition(";")[0].strip().lower()
        charset = re.search(r"""charset\s*=\s*["']?([\w.:+-]+)""", header, re.IGNORECASE)
        return Page(
            content=_read(response, url, media_type, limits.max_bytes),
            media_type=media_type,
            charset=charset[1] if charset else None,
        )


def _read(response: Response, url: str, media_type: str, max_bytes: int) -> bytes:
    """Return the body; stop as soon as it is too long or is not text."""
    length = response.headers.get("Content-Length", "")
    content = bytearray()
    is_checked = False
    for chunk in response.iter_bytes():
        content += chunk
        if not is_checked and len(content) >= SAMPLE_BYTES:
            _check_text(url, bytes(content[:SAMPLE_BYTES]), media_type)
            is_checked = True
            if length.isdigit() and int(length) > max_bytes:
                raise too_long(url)
        if len(content) > max_bytes:
            raise too_long(url)
    _check_text(url, bytes(content[:SAMPLE_BYTES]), media_type)
    return bytes(content)


def _check_text(url: str, start: bytes, media_type: str) -> None:
    kind = find_binary_kind(start)
    if kind is None and media_type.startswith(_MEDIA) and not media_type.endswith("+xml"):
        raise InputError(f"{url} has the content type {media_type}, not text")
    if kind is not None and kind != PDF:
        raise InputError(f"{url} {not_text(kind)}")


def _is_other_host(before: str, after: str) -> bool:
    """Whether a redirect changes the host or port, other than from http to https."""
    old, new = urlsplit(before), urlsplit(after)
    ports = [part.port or DEFAULT_PORTS[part.scheme] for part in (old, new)]
    return old.hostname != new.hostname or ports not in ([80, 443], [ports[0]] * 2)
