"""Values and types of the HTTP library, which takes 60 ms to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2 import AsyncClient as AsyncClient
    from httpx2 import Client as Client
    from httpx2 import Response as Response
    from httpx2 import Timeout


def make_timeout(seconds: float, *, connect: float, read: float | None) -> Timeout:
    """Return the timeouts of a request in seconds; `seconds` are those of all other steps."""
    import httpx2

    return httpx2.Timeout(seconds, connect=connect, read=read)


def open_client() -> Client:
    """Return a client with the proxies and certificates of the environment, without credentials."""
    import httpx2

    return httpx2.Client(follow_redirects=False)


def open_async_client(
    *, max_connections: int, use_proxies: bool, is_encrypted: bool
) -> AsyncClient:
    """Return a client for asyncio that keeps its connections; otherwise as `open_client`.

    Proxies are those of the environment with `use_proxies`. Certificates are, too, with
    `is_encrypted`, or if a proxy may need them; otherwise no server is trusted, since reading them
    takes 40 ms.
    """
    import ssl

    import httpx2

    limits = httpx2.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=60,
    )
    # A proxy of the environment is mounted for a scheme, which takes precedence over "all".
    mounts = None if use_proxies else dict.fromkeys(("http://", "https://", "all://"))
    needs_certificates = is_encrypted or use_proxies
    verify = True if needs_certificates else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.AsyncClient(follow_redirects=False, limits=limits, mounts=mounts, verify=verify)
