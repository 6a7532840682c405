"""Separators of lists, also the full-width ones."""

from __future__ import annotations

import pytest

from llmtool.text.separators import split_list


@pytest.mark.parametrize("separator", [",", "，", "、", "،", "；", "﹐", "﹑", "､", " ， "])
def test_list_is_split_at_separators_of_any_script(separator: str) -> None:
    assert split_list(f"正面{separator}so so{separator}负面") == ["正面", "so so", "负面"]


def test_other_punctuation_belongs_to_an_item() -> None:
    assert split_list("a;b|c。d") == ["a;b|c。d"]
