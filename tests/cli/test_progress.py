"""The progress line of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.progress import describe_progress

CASES = {
    "at once": (describe_progress(3, 90, seconds=0.000005), "3 records"),
    "soon": (describe_progress(300, 900, seconds=0.5, n_failed=2), "300 records, 2 failed"),
    "none yet": (describe_progress(0, 9, seconds=4), "0 records"),
    "after a second": (describe_progress(1, 3, seconds=1), "1 record, 1.0/s, 0:02 left"),
    "no end known": (describe_progress(1200, None, seconds=10), "1,200 records, 120.0/s"),
    "gone on": (
        describe_progress(10, 80, seconds=2, n_before=40, n_failed=1),
        "50 records, 5.0/s, 1 failed, 0:06 left",
    ),
    "first tokens": (describe_progress(0, 60, seconds=3, n_tokens=300), "0 records, 300 tokens"),
    "first record of many in progress": (  # 30 of them are almost done
        describe_progress(1, 60, seconds=10, n_tokens=900, n_done_tokens=31),
        "1 record, 0.1/s, 0:10 left",
    ),
    "last ones": (
        describe_progress(56, 60, seconds=58, n_tokens=1150, n_done_tokens=1120),
        "56 records, 1.0/s, 0:02 left",
    ),
    "more than expected": (describe_progress(20, 10, seconds=2), "20 records, 10.0/s, 0:00 left"),
}


@pytest.mark.parametrize(("shown", "expected"), CASES.values(), ids=CASES)
def test_rate_is_shown_after_one_second(shown: str, expected: str) -> None:
    assert shown == expected


def test_plain_progress_is_a_line_every_30_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    console = Console(Interrupts(), clock=lambda: now)
    console.configure(progress="plain")
    for seconds in range(100):
        now = float(seconds)
        console.status(f"{seconds} records")
    console.status("")
    console.status("100 records", is_last=True)
    shown = ["30 records", "60 records", "90 records", "100 records"]
    assert capfd.readouterr().err == "".join(f"llmtool: {each}\n" for each in shown)


@pytest.mark.parametrize(
    "options", [{"progress": "none"}, {"progress": "plain", "quiet": True}, {}]
)
def test_no_progress_without_a_terminal(
    capfd: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    console = Console(Interrupts(), clock=lambda: 0.0)
    console.configure(**options)
    console.status("100 records", is_last=True)
    assert capfd.readouterr().err == ""
