"""Thresholds below which a text gets no label."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.arguments import check_range
from llmtool.tasks.options import ClassifyOptions


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """The minimum values that a text needs to get a label.

    `min_confidence` applies to the best score, `min_margin` to its distance from the second best,
    and `min_coverage` to the sum of the labels' probabilities before correction.
    """

    min_confidence: float = 0.0
    min_margin: float = 0.0
    min_coverage: float = 0.0

    def reason(self, probabilities: Sequence[float], coverage: float) -> str | None:
        """Return the reason why a text gets no label, None if it gets one.

        Example:
            >>> Thresholds(min_margin=0.2).reason([0.45, 0.4, 0.15], coverage=0.9)
            'the score is less than 0.2 above the second best'
        """
        best, second = sorted(probabilities, reverse=True)[:2]
        if best < self.min_confidence:
            return f"the score is below {self.min_confidence:g}"
        if best - second < self.min_margin:
            return f"the score is less than {self.min_margin:g} above the second best"
        if coverage < self.min_coverage:
            return f"the total probability of the labels is below {self.min_coverage:g}"
        return None


def read_thresholds(options: ClassifyOptions) -> Thresholds:
    """Return the thresholds of the options.

    Raises:
        UsageError: a threshold is not between 0 and 1.
    """
    found = Thresholds(
        min_confidence=options.min_confidence or 0.0,
        min_margin=options.min_margin or 0.0,
        min_coverage=options.min_coverage or 0.0,
    )
    for name, value in msgspec.structs.asdict(found).items():
        check_range(name, value, 0, 1)
    return found
