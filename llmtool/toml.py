"""Parse TOML on every supported Python; the only importer of tomllib."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DecodeError = tomllib.TOMLDecodeError


def loads(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        DecodeError: the text is not TOML.

    Example:
        >>> loads("threads = 4")
        {'threads': 4}
    """
    return tomllib.loads(text)
