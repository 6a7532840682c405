"""Format sizes, counts and ages; parse durations."""

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


def format_age(seconds: float) -> str:
    """Return how long ago something happened, in its largest unit.

    Example:
        >>> format_age(20), format_age(200), format_age(3 * 3600), format_age(86400 * 1.2)
        ('just now', '3 min ago', '3 h ago', '1 day ago')
    """
    if seconds < 60:
        return "just now"
    for size, name in ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day")):
        if seconds >= size:
            return f"{format_count(int(seconds // size), name)} ago"
    return f"{seconds // 3600:.0f} h ago" if seconds >= 3600 else f"{seconds // 60:.0f} min ago"


def format_cost(cost: object) -> str:
    """Return the end of a line about tokens: what they cost, or "" if that is unknown.

    Example:
        >>> from msgspec import UNSET
        >>> format_cost(0.00123456), format_cost(UNSET)
        ('; cost 0.00123', '')
    """
    return f"; cost {cost:.3g}" if isinstance(cost, (int, float)) else ""
