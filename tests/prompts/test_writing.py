"""YAML that we write reads back unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.prompts.writing import to_yaml
from llmtool.safe_yaml import load

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    alphabet="ab \n\t:#-{}[]'\"|>&*!%@`,", max_size=30
)
values = st.recursive(
    texts | st.booleans() | st.none() | st.integers(-999, 999) | st.floats(-9, 9, width=16),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_written_yaml_reads_back_unchanged(value: dict[str, Any]) -> None:
    assert (load(to_yaml(value), source="f") or {}) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Sum up: this", 'a: "Sum up: this"\n'),
        ("A sentence of words.", "a: A sentence of words.\n"),
        ("no", 'a: "no"\n'),
        ("12", 'a: "12"\n'),
        ("one\n\n  two\n", "a: |\n  one\n\n    two\n"),
        ("one\ntwo", "a: |-\n  one\n  two\n"),
        ("one\n \ntwo", 'a: "one\\n \\ntwo"\n'),
    ],
)
def test_strings_are_written_readably(text: str, written: str) -> None:
    assert to_yaml({"a": text}) == written
