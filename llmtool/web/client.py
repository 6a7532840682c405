"""Values and types of the HTTP library, which takes 60 ms to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2 import Client as Client
    from httpx2 import Response as Response
    from httpx2 import Timeout


def make_timeout(seconds: float, *, connect: float, read: float) -> Timeout:
    """Return the timeouts of a request in seconds; `seconds` are those of all other steps."""
    import httpx2

    return httpx2.Timeout(seconds, connect=connect, read=read)


def open_client() -> Client:
    """Return a client with the proxies and certificates of the environment, without credentials."""
    import httpx2

    return httpx2.Client(follow_redirects=False)
