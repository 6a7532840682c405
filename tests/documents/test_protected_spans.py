"""Order and nesting of protected spans in a translation."""

from __future__ import annotations

from llmtool.documents.protected_spans import find_nesting_fault, find_placeholder_fault
from llmtool.documents.types import Part, ProtectedSpan


def test_spans_that_were_joined_with_code_match_those_of_the_source() -> None:
    code, tag, end = map(ProtectedSpan, ("`<b> %d`", "<i>", "</i>"))
    source: list[Part] = [code, " ", tag, "text", end]
    joined: list[Part] = [ProtectedSpan("`<b> %d` <i>"), "Text", end]
    assert find_nesting_fault(source, joined) is None
    assert find_placeholder_fault(source, joined) is None
    assert find_nesting_fault(source, [end, "Text", ProtectedSpan("`<b> %d` <i>")]) is not None
