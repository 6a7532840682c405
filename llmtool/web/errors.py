"""Errors of HTTP connections: map the exceptions of the HTTP library."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from llmtool.errors import DownloadError, LlmtoolError
from llmtool.web.environment import find_proxy
from llmtool.web.urls import find_host


class TransientError(Exception):
    """A failed request that may succeed when retried; `str()` is the reason.

    `retry_after` is the wait in seconds that the server requested. Server errors have their own
    limit of attempts. `remedy` ends the error message after the last attempt.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        is_server_error: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.retry_after = retry_after
        self.is_server_error = is_server_error


@contextlib.contextmanager
def request_errors(url: str, *, variable: str | None = None) -> Iterator[None]:
    """Map the exceptions of the HTTP library; the messages contain no URLs or headers.

    Args:
        variable: the environment variable that the URL comes from.

    Raises:
        TransientError: a retry may succeed.
        DownloadError: the request failed.
    """
    import httpx2

    host = find_host(url)
    proxy = find_proxy(url)
    target = str(proxy or host)
    through = f" through {proxy}" if proxy else ""
    variable = proxy.variable if proxy else variable
    remedy = f"check {variable}" if variable else None
    try:
        yield
    except (LlmtoolError, TransientError):
        raise
    except httpx2.ConnectTimeout:
        raise TransientError(f"connecting to {target} timed out", remedy=remedy) from None
    except httpx2.TimeoutException:
        raise TransientError(f"{host} stopped responding{through}") from None
    except httpx2.ProxyError as exc:
        raise proxy_error(target, str(exc), remedy) from None
    except httpx2.ConnectError as exc:
        if "ssl" in str(exc).lower():
            is_tls_proxy = proxy is not None and proxy.url.startswith("https:")
            raise tls_error(target if is_tls_proxy else host, str(exc)) from None
        raise TransientError(f"cannot connect to {target}", remedy=remedy) from None
    except (httpx2.NetworkError, httpx2.RemoteProtocolError, OSError):
        raise TransientError(f"lost the connection to {host}{through}") from None
    except Exception as exc:  # noqa: BLE001 - the transport's own exception types
        kind = type(exc).__name__
        raise DownloadError(f"{host}: request failed{through} ({kind})") from None


def proxy_error(proxy: str, reason: str, remedy: str | None) -> Exception:
    """Return the error for a connection that a proxy refused.

    Args:
        proxy: the proxy and its variable, such as "the proxy http://host:80 (HTTPS_PROXY)".
        reason: the reason of the HTTP library, which may start with a status.
    """
    needs_login = reason.startswith("407") or "username/password" in reason.lower()
    if needs_login or "from proxy server, but got" in reason:
        return DownloadError(
            f"{proxy} needs a valid user name and password; set SCHEME://USER:PASSWORD@HOST:PORT"
        )
    text = reason.rpartition("could not connect: ")[2].strip(". ").lower()
    detail = f" ({text})" if text else ""
    return TransientError(f"{proxy} refused the connection{detail}", remedy=remedy)


def tls_error(target: str, reason: str) -> DownloadError:
    """Return the error for a failed TLS handshake with a host or a proxy."""
    if "certificate" not in reason.lower():
        return DownloadError(f"{target} does not use TLS; check its scheme, http or https")
    match = re.search(r"verify failed: (.*?)(?: \(_ssl|$)", reason)
    detail = f" ({match[1]})" if match else ""
    given = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    ignored = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
    if given:
        remedy = f"add its certificate to {given} (now {os.environ[given]!r}), or unset {given}"
    elif ignored:
        remedy = f"set SSL_CERT_FILE to its certificate; {ignored[0]} is not read"
    else:
        remedy = (
            "if a proxy intercepts the connection, set SSL_CERT_FILE to the proxy's certificate"
        )
    return DownloadError(f"{target}: certificate not trusted{detail}; {remedy}")
