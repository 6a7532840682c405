"""Suggest the name that a user may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a phrase with the known names most similar to `name`, or an empty string.

    Case does not matter. `cutoff` is difflib's least similarity, from 0 to 1.

    Example:
        >>> suggest("qwen3-2b", ["qwen3.5-2b", "gemma"])
        'the nearest is qwen3.5-2b'
    """
    import difflib

    by_lower: dict[str, list[str]] = {}
    for known in sorted(set(names)):
        by_lower.setdefault(known.lower(), []).append(known)
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=cutoff)
    found = [known for lower in near for known in by_lower[lower]]
    if not found:
        return ""
    return f"the nearest {'is' if len(found) == 1 else 'are'} {', '.join(found)}"
