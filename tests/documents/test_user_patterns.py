"""`protect`: regular expressions of the user."""

from __future__ import annotations

import pytest
from documents.rewriting import rewrite

from llmtool import worker
from llmtool.documents import user_patterns
from llmtool.documents.formats import parse
from llmtool.documents.types import Format, ProtectedSpan
from llmtool.documents.user_patterns import check_patterns, protect
from llmtool.errors import Cancelled, UsageError


@pytest.mark.parametrize(
    ("format", "text", "patterns", "protected"),
    [
        ("txt", "Order ACME-12 and acme now.", [r"(?i)acme(-\d+)?"], ["ACME-12", "acme"]),
        ("txt", "One two three", ["two", "One two"], ["One two"]),
        (
            "md",
            "Order **ACME-12** or `ACME`.\n",
            [r"ACME-\d+", r"\bor\b"],
            ["ACME-12", "or", "`ACME`"],
        ),
        ("json", '{"a": "Order \\"A&B\\" now"}', ['"A&B"'], ['"A&B"']),
        ("html", "<p>Order A &lt; B now</p>", ["A < B"], ["A &lt; B"]),
        ("po", 'msgid "Order \\"A\\" now"\nmsgstr ""\n', ['"A"'], ['"A"']),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\nHi Bob\n", ["Bob"], ["Bob"]),
        ("txt", "Nothing here", [], []),
    ],
)
def test_matches_are_protected(
    format: Format, text: str, patterns: list[str], protected: list[str]
) -> None:
    document = parse(text, format)
    protect(document, patterns)
    (segment,) = document.segments
    spans = [part.source for part in segment.parts if isinstance(part, ProtectedSpan)]
    assert spans == protected
    assert rewrite(document, {0: segment.parts}) == text
    changed = [part if isinstance(part, ProtectedSpan) else part.upper() for part in segment.parts]
    written = document.encode(segment, changed)
    assert all(span in written or '\\"' in written for span in protected)
    assert document.compare(rewrite(document, {0: changed})) is None


@pytest.mark.parametrize("format", ["html", "md"])
def test_matches_in_attributes_of_inline_tags_are_protected(format: Format) -> None:
    document = parse('<p>See <img alt="The ACME-12 cat" src="a"> here.</p>', format)
    protect(document, [r"ACME-\d+"])
    changed = {
        index: [part if isinstance(part, ProtectedSpan) else part.upper() for part in segment.parts]
        for index, segment in enumerate(document.segments)
    }
    output = '<p>SEE <img alt="THE ACME-12 CAT" src="a"> HERE.</p>'
    assert rewrite(document, changed) == output


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", r"protect='\(': not a valid regex: missing \)"),
        ("x*", "protect='x\\*': matches the empty text"),
        ("", "protect='': matches the empty text"),
    ],
)
def test_invalid_regexes_are_rejected(regex: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_patterns([regex])


def test_doubtful_syntax_gives_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert check_patterns(["[[a]--x]"]) == ("[[a]--x]",)
    assert not recwarn.list


def test_match_of_the_empty_text_that_takes_too_long_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_patterns, "_CHECK_SECONDS", 1)
    with pytest.raises(UsageError, match=r"protect='.*': takes too much time or memory"):
        check_patterns(["(?:a?|b?){60}(?=c)"])


def test_regex_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SECONDS", 1)
    document = parse("a" * 60, "txt")
    with pytest.raises(UsageError, match=r"protect='\(a\+\)\+x': takes too much time or memory"):
        protect(document, ["(a+)+x"])


def test_search_for_a_regex_can_be_stopped() -> None:
    checks = iter(range(20))

    def check() -> None:
        if next(checks, None) is None:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        protect(parse("a" * 60, "txt"), ["(a+)+x"], check=check)
