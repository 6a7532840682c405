"""Order and nesting of protected spans in a translation."""

from __future__ import annotations

from llmtool.documents.protected_spans import (
    find_nesting_fault,
    find_placeholder_fault,
    split_parts,
)
from llmtool.documents.types import Part, ProtectedSpan


def test_spans_that_were_joined_with_code_match_those_of_the_source() -> None:
    code, tag, end = map(ProtectedSpan, ("`<b> %d`", "<i>", "</i>"))
    source: list[Part] = [code, " ", tag, "text", end]
    joined: list[Part] = [ProtectedSpan("`<b> %d` <i>"), "Text", end]
    assert find_nesting_fault(source, joined) is None
    assert find_placeholder_fault(source, joined) is None
    assert find_nesting_fault(source, [end, "Text", ProtectedSpan("`<b> %d` <i>")]) is not None


def test_parenthesis_without_an_opening_one_ends_a_url() -> None:
    parts = split_parts("[Wiki](https://example.org/a_(b))-Syntax")
    assert parts == ("[Wiki](", ProtectedSpan("https://example.org/a_(b)"), ")-Syntax")


def test_bar_may_end_a_sentence_in_hindi() -> None:
    assert find_placeholder_fault(["It is not safe."], ["यह सुरक्षित नहीं है |"]) is None
    assert find_placeholder_fault(["It is not safe."], ["Es ist nicht sicher |"]) == "adds |"
