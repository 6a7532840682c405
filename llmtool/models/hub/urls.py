"""Whose URL it is: a token may go to one origin, and messages name the host alone."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def find_origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def find_host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def is_final(method: str, url: str, location: str) -> bool:
    """Tell whether a HEAD has what it wants: a redirect to the file's storage carries its size."""
    return method == "HEAD" and find_origin(urljoin(url, location)) != find_origin(url)
