"""What an engine has computed since it was loaded, for a server's metrics."""

from __future__ import annotations

from bisect import bisect_left

# Upper bounds in seconds: from a cached prompt on a GPU to a long reply on a CPU.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Counts of values by upper bound.

    Example:
        >>> seconds = Histogram((0.1, 1.0))
        >>> seconds.add(0.5)
        >>> seconds.counts, seconds.total
        ([0, 1, 0], 0.5)
    """

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: above all bounds
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class EngineTotals:
    """Counts of finished requests and of their tokens, and the seconds until their first token.

    A prompt that several replies share counts once. `n_cached` counts the requests that began with
    `cached_tokens` computed before.
    """

    def __init__(self) -> None:
        self.n_requests = self.n_cached = 0
        self.prompt_tokens = self.cached_tokens = self.reply_tokens = 0
        self.first_token_seconds = Histogram()
