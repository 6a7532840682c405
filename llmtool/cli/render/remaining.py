"""Estimate how long a batch still takes, from the lengths of its replies."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

from llmtool.engine.types import StreamProgress

_MAX_DRAWN = 500  # replies; further ones have the same mean length
_STEP_GROWTH = 2 / 3  # the power of the number of replies with which the time of a step grows
_GOLDEN = 0.618034  # its multiples are spread evenly over [0, 1)


def estimate_seconds(progress: StreamProgress, n_new: float) -> tuple[float, float] | None:
    """Return the least and the greatest likely time until all replies are complete.

    The times differ while there may be replies longer than all so far: for the least time, these
    end at once; for the greatest, they reach their maximum. Return None before a step was timed.

    Args:
        progress: the counters of the engine.
        n_new: the number of replies whose requests the engine has not read yet.

    Example:
        >>> from llmtool.engine.types import StreamProgress
        >>> progress = StreamProgress(
        ...     n_replies=3, running=((10, 50),), finished={20: 2}, step_seconds=0.1, n_parallel=1
        ... )
        >>> estimate_seconds(progress, 1)  # two replies of 20 tokens, one of which has 10
        (3.0, 3.0)
    """
    running, finished = progress.running, dict(progress.finished)
    if not progress.n_parallel or not (running or finished):
        return None
    lengths = [length for length, _ in running]
    n_started = len(running) + sum(finished.values())
    n_new = max(0, round(n_new + progress.n_replies - n_started))
    read_seconds = n_new * progress.read_seconds / n_started
    n_parallel = max(progress.n_parallel, min(progress.max_parallel, len(running) + n_new))
    growth = math.pow(n_parallel / progress.n_parallel, _STEP_GROWTH)
    step_seconds = progress.step_seconds * growth
    longest = max([*finished, *lengths])
    limit = max([longest, *(limit for _, limit in running)])
    curve = _survival(finished, lengths)

    def seconds(end: int) -> float:
        rest = [_draw(curve, i, length, end) - length for i, length in enumerate(lengths)]
        n_drawn = min(n_new, _MAX_DRAWN)
        new = [_draw(curve, len(lengths) + i, 0, end) for i in range(n_drawn)]
        n_steps = _count_steps(rest, new, n_parallel)
        n_steps += (n_new - n_drawn) * sum(new) / max(1, n_drawn) / n_parallel
        return read_seconds + n_steps * step_seconds

    return seconds(longest), seconds(limit)


def _survival(finished: Mapping[int, int], running: Sequence[int]) -> list[tuple[int, float]]:
    """Return each length at which replies ended, with the part of replies that are longer.

    Of a reply in progress only the least length is known. Source: Kaplan and Meier (1958).
    """
    curve, part = [], 1.0
    for length in sorted(finished):
        n_as_long = sum(n for each, n in finished.items() if each >= length)
        n_as_long += sum(each >= length for each in running)
        part *= 1 - finished[length] / n_as_long
        curve.append((length, part))
    return curve


def _draw(curve: list[tuple[int, float]], i: int, length: int, end: int) -> int:
    """Return the total number of tokens of a reply that already has `length`, at most `end`.

    Successive `i` give lengths that are distributed as in `curve`, without randomness.
    """
    start = next((part for at, part in reversed(curve) if at <= length), 1.0)
    part = start * ((0.5 + i * _GOLDEN) % 1)
    return max(length, next((at for at, longer in curve if at > length and longer <= part), end))


def _count_steps(rest: list[int], new: list[int], n_parallel: int) -> float:
    """Return the number of steps until all replies are complete."""
    ends = [*rest, *[0] * (n_parallel - len(rest))]
    heapq.heapify(ends)
    for length in new:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)
