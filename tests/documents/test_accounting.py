"""Letters that are not translated, by reason."""

from __future__ import annotations

import pytest

from llmtool.documents.accounting import count_protected, find_unsupported
from llmtool.documents.formats import parse
from llmtool.documents.types import Document, Format, OutsideText


@pytest.mark.parametrize(
    ("format", "text", "protected"),
    [
        ("txt", "To {name}: me@x.org or https://x.org.", {"address": 15, "placeholder": 4}),
        ("md", "Run `ls`, see [it](a.md) and <b>now</b>.", {"code": 2, "link target": 3, "tag": 2}),
        ("md", "Mail <https://x.org> or $x+y$", {"address": 9, "formula": 2}),
        ("md", "Press {kbd}`Esc` on <b title='A note'>it</b>", {"role": 6, "tag": 7}),
        (
            "json",
            '{"id": "a-1", "@x": "Note", "title": "Hi", "n": true}',
            {"identifier": 1, "key": 9, "metadata": 4, "number or constant": 4},
        ),
    ],
    ids=["txt", "md", "formula", "attribute", "json"],
)
def test_protected_letters_are_counted_by_reason(
    format: Format, text: str, protected: dict[str, int]
) -> None:
    assert count_protected(parse(text, format)) == protected


@pytest.mark.parametrize(("format", "reason"), [("md", "wiki link"), ("txt", "placeholder")])
def test_name_in_double_brackets_is_a_link_only_in_markdown(format: Format, reason: str) -> None:
    assert count_protected(parse("Dear [[name]]", format)) == {reason: 4}


def test_language_that_a_format_does_not_support_is_reported() -> None:
    text = '{"a": "Hello", "b": "{n, plural, other {# files}", "c": "x \\ud800 y"}'
    lines = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n\nLost words.\n\n"
        "id\n00:02.000 --> 00:03.000\nBye\n"
    )
    (lost,) = find_unsupported(parse(lines, "vtt"))
    assert lines[lost.start : lost.end] == "Lost words."
    reasons = [each.reason for each in find_unsupported(parse(text, "json"))]
    assert reasons == [
        "the syntax of the ICU message is not supported",
        "UTF-8 cannot encode its lone surrogate",
    ]


def test_text_that_is_neither_a_segment_nor_accounted_for_is_reported() -> None:
    document = Document("key = Hello")
    document.segments, document.outside = (), (OutsideText(0, 3, "key"),)
    (found,) = find_unsupported(document)
    assert document.source[found.start : found.end].strip(" =") == "Hello"
    assert found.reason == "the parser does not recognize this text"
    assert count_protected(document) == {"key": 3}


def test_cells_without_a_column_are_language_if_a_pipe_in_code_moved_them() -> None:
    text = "| `code` | cell \\| text |\n|---|---|\n| a `x|y` | lost |\n| a | b | extra |\n"
    document = parse(text, "md")
    assert count_protected(document) == {"cell without a column": 5, "code": 4}
    (lost,) = find_unsupported(document)
    assert text[lost.start : lost.end] == "lost"
    assert find_unsupported(parse(text, "md", dialect="mkdocs")) == []


def test_names_between_dollars_are_formulas_only_in_markdown() -> None:
    assert count_protected(parse("Hi $AB$", "md")) == {"formula": 2}
    assert count_protected(parse('["Hi $USER$"]', "json")) == {"placeholder": 4}


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("md", '```{csv-table} Title\n:header: "One"\n\n"two"\n```\n'),
        ("md", ':::{csv-table} Title\n:header: "One"\n\n"two"\n:::\n'),
        ("rst", '.. csv-table:: Title\n   :header: "One"\n\n   "two"\n'),
    ],
    ids=["fence", "colons", "rst"],
)
def test_cells_of_a_csv_table_are_reported(format: Format, text: str) -> None:
    document = parse(text, format)
    assert [segment.text for segment in document.segments] == ["Title"]
    lost = "".join(text[each.start : each.end] for each in find_unsupported(document))
    assert '"One"' in lost
    assert '"two"' in lost
