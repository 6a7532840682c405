"""Format sizes and counts; parse durations."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+|\d*\.\d+)(ms|s|m|min|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def format_bytes(n: float) -> str:
    """Return a size with its unit, in powers of 1000: 98.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def format_count(n: int, noun: str) -> str:
    """Return a count with its noun: 1 record, 1,200 records."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def parse_duration(text: str) -> float:
    """Return a duration in seconds: a number, with an optional unit (ms, s, m, min, h).

    Raises:
        ValueError: the text is not a duration above 0.

    Example:
        >>> parse_duration("90"), parse_duration("1.5"), parse_duration("2m")
        (90.0, 1.5, 120.0)
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds
