"""Sizes as people read them."""

from __future__ import annotations


def format_bytes(n: float) -> str:
    """Return a size as people read it: 98.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def format_count(n: int, what: str) -> str:
    """Return how many there are of something: 1 record, 1,200 records."""
    return f"{n:,} {what}{'s' * (n != 1)}"
