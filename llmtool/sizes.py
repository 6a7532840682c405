"""Format sizes and counts."""

from __future__ import annotations


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
