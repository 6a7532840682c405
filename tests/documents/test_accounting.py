"""Letters that are not translated, by reason."""

from __future__ import annotations

import re

import pytest
from documents.rewriting import rewrite

from llmtool.documents.accounting import count_protected, find_unsupported
from llmtool.documents.formats import parse
from llmtool.documents.types import Document, Format, OutsideText, find_unaccounted


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


FIXED_WIDTH = {
    "grid": "+-----+-----+\n| One | two |\n+=====+=====+\n| a b | c d |\n+-----+-----+\n",
    "simple": "One    Two three\n-----  ---------\nfour   five\nsix    seven\n",
    "without a header": "-----  ---------\nfour   five\n-----  ---------\n",
    "several lines": "------------\n One   Two\n three four\n----- ------\n five  six\n"
    "       seven\n\n more  words\n------------\n",
}


@pytest.mark.parametrize("table", FIXED_WIDTH.values(), ids=FIXED_WIDTH)
def test_tables_of_fixed_width_in_markdown_remain_and_are_reported(table: str) -> None:
    document = parse(f"Before.\n\n{table}\nAfter.\n", "md")
    assert [segment.text for segment in document.segments] == ["Before.", "After."]
    (found,) = find_unsupported(document)
    assert document.source[found.start : found.end] == table
    assert found.reason == "table of fixed width"


@pytest.mark.parametrize(
    "text",
    [
        "A title\n-------\n",
        "One\n\n--- ---\n\nTwo\n",
        "- One\n  -- --\n  two\n",
        "---\n\nA\n\n---\n",
    ],
    ids=["heading", "break", "item", "breaks"],
)
def test_dashes_without_columns_do_not_make_a_table(text: str) -> None:
    assert find_unsupported(parse(text, "md")) == []


NOT_SUPPORTED = "the directive strange is not supported"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("```{strange}\nOnly words\n```\n", "```{strange}\nOnly words\n```\n"),
        ("```{strange} Short title\n```\n", "```{strange} Short title\n```\n"),
        (".. strange:: Two words\n", "Two words"),
        (".. |x| strange:: Two words\n", "Two words"),
        (".. strange:: Two words\n\n   This text has five words.\n", "Two words"),
    ],
)
def test_words_in_an_unknown_directive_are_reported(text: str, lost: str) -> None:
    document = parse(text, "rst" if text.startswith("..") else "md")
    (found,) = find_unsupported(document)
    assert (found.reason, document.source[found.start : found.end]) == (NOT_SUPPORTED, lost)


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("```{strange}\nword\n```\n", {"unknown directive": 11}),
        ("```{strange} word\n\nThis text has five words.\n```\n", {"unknown directive": 11}),
        ("```{strange}\ndraw one two\nx = draw(y)\n```\n", {"unknown directive": 23}),
        ("```{python}\nimport a as b\n```\n", {"code block": 16}),
        (".. strange:: word\n", {"argument of an unknown directive": 4, "directive": 7}),
    ],
)
def test_other_content_of_an_unknown_directive_is_protected_for_that_reason(
    text: str, protected: dict[str, int]
) -> None:
    document = parse(text, "rst" if text.startswith("..") else "md")
    assert count_protected(document) == protected
    assert find_unsupported(document) == []


CSV_TABLES = {
    "fence": ("md", '```{csv-table} Title\n:header: "One, two", Three\n\n"four", 5\nsix\n```\n'),
    "colons": ("md", ':::{csv-table} Title\n:header: "One, two", Three\n\n"four", 5\nsix\n:::\n'),
    "rst": (
        "rst",
        '.. csv-table:: Title\n   :header: "One, two", Three\n\n   "four", 5\n   six\n',
    ),
}


@pytest.mark.parametrize(("format", "text"), CSV_TABLES.values(), ids=CSV_TABLES)
def test_cells_of_a_csv_table_are_translated(format: Format, text: str) -> None:
    document = parse(text, format)
    texts = ["Title", "One, two", "Three", "four", "six"]
    assert [segment.text for segment in document.segments] == texts
    assert find_unaccounted(document) == find_unsupported(document) == []
    upper = {i: (each.upper(),) for i, each in enumerate(texts)}
    output = rewrite(document, upper)
    for each in texts:
        text = text.replace(each, each.upper())
    assert output == text
    assert document.compare(output) is None


QUOTED_CELLS = {
    "rst": ("rst", ".. csv-table::\n   :quote: '\n   :header: 'a, b'\n\n   'it''s, c', d\n"),
    "fence": ("md", "```{csv-table}\n:quote: '\n:header: 'a, b'\n\n'it''s, c', d\n```\n"),
    "YAML": (
        "md",
        "```{csv-table}\n---\nquote: \"'\"\nheader: >\n  'a, b'\n---\n'it''s, c', d\n```\n",
    ),
    "folded": ("md", ":::{csv-table}\n:header: >\n:  'a, b'\n:quote: '\n'it''s, c', d\n:::\n"),
}


@pytest.mark.parametrize(("format", "text"), QUOTED_CELLS.values(), ids=QUOTED_CELLS)
def test_cells_in_other_quotes_are_translated(format: Format, text: str) -> None:
    document = parse(text, format)
    texts = ["a, b", "it's, c", "d"]
    assert [segment.text for segment in document.segments] == texts
    assert find_unaccounted(document) == find_unsupported(document) == []
    output = rewrite(document, {1: ("it's",), 2: ("l'e",)})
    assert output == text.replace("'it''s, c', d", "'it''s', 'l''e'")
    assert document.compare(output) is None


@pytest.mark.parametrize("format", ["rst", "md"])
def test_escaped_quotes_in_a_cell(format: Format) -> None:
    text = '.. csv-table::\n   :escape: \\\n\n   "a \\"b\\" c", d\n'
    if format == "md":
        text = text.replace("   ", "").replace(".. csv-table::", "```{csv-table}") + "```\n"
    document = parse(text, format)
    assert [segment.text for segment in document.segments] == ['a "b" c', "d"]
    output = rewrite(document, {0: ('x "y"',), 1: ('"z"',)})
    assert output == text.replace('a \\"b\\" c', 'x \\"y\\"').replace("d\n", '"\\"z\\""\n')
    assert document.compare(output) is None


OPTIONS = {
    "YAML": (
        "---\nname: x\nalt: Two\nheader: 'Three'\n---\n",
        "---\nname: x\nalt: \"É: f\"\nheader: 'it''s'\n---\n",
    ),
    "folded": (
        ":name: x\n:alt: >\n:  Two\n:header: Three\n",
        ":name: x\n:alt: >\n:  É: f\n:header: it's\n",
    ),
}


@pytest.mark.parametrize(("options", "translation"), OPTIONS.values(), ids=OPTIONS)
def test_options_of_a_directive_are_translated(options: str, translation: str) -> None:
    text = f"```{{figure}} one.png\n{options}\nFour\n```\n"
    document = parse(text, "md")
    assert [segment.text for segment in document.segments] == ["Two", "Three", "Four"]
    output = rewrite(document, {0: ("É: f",), 1: ("it's",)})
    assert output == text.replace(options, translation)
    assert document.compare(output) is None
    assert find_unaccounted(document) == find_unsupported(document) == []


CELLS_OF_LINES = {
    "MyST": ("md", '```{csv-table}\n:header: a, b\n\n"two\nlines", 3\n"four", five\n```\n'),
    "list": ("md", '- x\n\n  ```{csv-table}\n  "two\n  lines", 3\n  ```\n'),
    "rst": (
        "rst",
        '.. csv-table::\n   :header: one,\n     "six\n     b"\n\n   "two\n   lines", 3\n',
    ),
    "blocks": ("rst", '.. csv-table::\n\n   "One ""two"".\n\n   - three\n   - four", 3\n'),
}


@pytest.mark.parametrize(("format", "text"), CELLS_OF_LINES.values(), ids=CELLS_OF_LINES)
def test_cells_of_several_lines_are_translated(format: Format, text: str) -> None:
    document = parse(text, format)
    assert find_unaccounted(document) == find_unsupported(document) == []
    upper = {
        i: [part.upper() if isinstance(part, str) else part for part in segment.parts]
        for i, segment in enumerate(document.segments)
    }
    assert all(not document.find_fault(document.segments[i], parts) for i, parts in upper.items())
    output = rewrite(document, upper)
    assert document.compare(output) is None
    assert re.findall(r"[a-z]+", output.replace("csv-table", "").replace("header", "")) == []
    assert len(re.findall(r"\w+", output)) == len(re.findall(r"\w+", text))


def test_cell_gets_quotes_if_it_needs_them() -> None:
    text = ".. csv-table::\n   :delim: ;\n\n   one; two\n"
    document = parse(text, "rst")
    output = rewrite(document, {0: ('a; "b"',)})
    assert output == text.replace("one", '"a; ""b"""')
    assert document.compare(output) is None


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("md", '```{csv-table} Title\n"two\n\nlines", 3\n```\n'),
        ("md", '> ```{csv-table} Title\n> "two\n> lines", 3\n> ```\n'),
        ("rst", '.. csv-table:: Title\n\n   "two\n   lines, 3\n'),
        ("rst", ".. csv-table:: Title\n   :keepspace:\n\n   'two', 3\n   lines\n"),
        ("rst", ".. csv-table:: Title\n   :quote: U+0027\n\n   'two', 3\n   lines\n"),
        ("md", "```{csv-table} Title\n:delim: two\n\nlines two 3\n```\n"),
    ],
    ids=["MyST", "quotation", "unclosed", "spaces", "code of a quote", "delimiter"],
)
def test_cells_in_another_syntax_are_reported(format: Format, text: str) -> None:
    document = parse(text, format)
    lost = "".join(text[each.start : each.end] for each in find_unsupported(document))
    left = "".join(segment.text for segment in document.segments)
    assert left.startswith("Title")
    assert all(word in lost + left for word in ("two", "lines")) and "two" in lost
