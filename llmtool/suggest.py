"""Compare a name that the user typed with known ones."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(name: str, names: Iterable[str], *, n: int = 1, cutoff: float = 0.6) -> str:
    """Return "; did you mean 'x'?" with up to `n` names similar to `name`, or "" if there are none.

    Case is ignored. `cutoff` is the minimum similarity from 0 to 1, as in `difflib`.

    Example:
        >>> suggest("qwen3-2b", ["qwen3.5-2b", "gemma"])
        "; did you mean 'qwen3.5-2b'?"
        >>> suggest("qwen3-2b", ["qwen3.5-2b", "qwen3-4b", "gemma"], n=3)
        "; did you mean 'qwen3.5-2b' or 'qwen3-4b'?"
    """
    import difflib

    by_lower: dict[str, list[str]] = {}
    for known in sorted(set(names)):
        by_lower.setdefault(known.lower(), []).append(known)
    near = difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=cutoff)
    found = [repr(known) for lower in near for known in by_lower[lower]][:n]
    *others, last = found or [""]
    before = f"{', '.join(others)} or " if others else ""
    return f"; did you mean {before}{last}?" if last else ""


def edit_distance(a: str, b: str) -> int:
    """Return how many characters to insert, delete, replace or exchange with the next one.

    Example:
        >>> edit_distance("gne", "gen"), edit_distance("cache", "bench")
        (1, 4)
    """
    above: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, above, row = above, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                row[j] = min(row[j], before[j - 2] + 1)
    return row[-1]
