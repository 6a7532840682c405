"""Compare and show URLs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def mask_url(url: str) -> str:
    """Return a URL without user name and password.

    Example:
        >>> mask_url("http://user:secret@host:80")
        'http://***@host:80'
    """
    return re.sub(r"^([^/]*//)?.*@", lambda match: f"{match[1] or ''}***@", url)


def find_origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def find_host(url: str) -> str:
    """Return host and port without credentials, the only part of a URL that messages show."""
    return urlsplit(url).netloc.rpartition("@")[2]
