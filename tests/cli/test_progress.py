"""What the passing status of a batch says."""

from __future__ import annotations

import pytest

from llmtool.cli.terminal.progress import how_far

CASES = {
    "at once": (how_far(3, 90, seconds=0.000005), "3 records"),
    "soon": (how_far(300, 900, seconds=0.5, n_failed=2), "300 records, 2 failed"),
    "none yet": (how_far(0, 9, seconds=4), "0 records"),
    "after a second": (how_far(1, 3, seconds=1), "1 record, 1.0/s, 0:02 left"),
    "no end known": (how_far(1200, None, seconds=10), "1,200 records, 120.0/s"),
    "gone on": (
        how_far(10, 80, seconds=2, n_before=40, n_failed=1),
        "50 records, 5.0/s, 1 failed, 0:06 left",
    ),
    "more than expected": (how_far(20, 10, seconds=2), "20 records, 10.0/s, 0:00 left"),
}


@pytest.mark.parametrize(("told", "expected"), CASES.values(), ids=CASES)
def test_a_rate_needs_a_second(told: str, expected: str) -> None:
    assert told == expected
