"""Parse TOML on every supported Python; the only importer of tomllib."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# tomllib keeps all prefixes of a dotted key: 100,000 parts take 20 GB.
_MAX_KEY_PARTS = 100
_LONG_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*)"""
    rf"{{{_MAX_KEY_PARTS}}}",
    re.MULTILINE,
)


class DecodeError(ValueError):
    """A text is not TOML; `str()` is the reason."""


def loads(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        DecodeError: the text is not TOML.

    Example:
        >>> loads("threads = 4")
        {'threads': 4}
    """
    if _LONG_KEY.search(text):
        raise DecodeError(f"a key has more than {_MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise DecodeError(str(exc)) from exc
    except ValueError as exc:  # Python's limit on the digits of a number
        raise DecodeError("a number has too many digits") from exc
    except RecursionError as exc:
        raise DecodeError("nested too deeply") from exc
