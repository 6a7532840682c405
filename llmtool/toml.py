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
_MAX_DIGITS = 4300  # Python's limit
_LONG_NUMBER = re.compile(rf"[0-9](?:_?[0-9]){{{_MAX_DIGITS}}}")
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
    if found := _LONG_KEY.search(text):
        line = _line(text, found.end())
        raise DecodeError(f"a key has more than {_MAX_KEY_PARTS} parts (at line {line})")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise DecodeError(str(exc)) from exc
    except ValueError as exc:  # Python's limit on the digits of a number
        found = _LONG_NUMBER.search(text)
        where = f" (at line {_line(text, found.start())})" if found else ""
        raise DecodeError(f"a number has more than {_MAX_DIGITS:,} digits{where}") from exc
    except RecursionError as exc:
        raise DecodeError("nested too deeply") from exc


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
