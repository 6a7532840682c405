from __future__ import annotations

import pytest

from llmtool.sizes import format_bytes, format_count


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (999, "999 B"), (98_362_432, "98.4 MB"), (2.7e12, "2700.0 GB")]
)
def test_format_bytes(n: float, text: str) -> None:
    assert format_bytes(n) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (1200, "1,200 records")]
)
def test_format_count(n: int, text: str) -> None:
    assert format_count(n, "record") == text
