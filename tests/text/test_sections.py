"""Chunks and sections of documents: no text is lost, and no chunk is too large."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtool.text.chunks import split
from llmtool.text.sections import split_document, split_sections


def words(text: str) -> int:
    return len(text.split())


PIECES = st.sampled_from(
    ["# Title\n", "## Part `x`\n", "Under\n===\n", "\n", "\n\n", "word ", "A sentence. ",
     "一句话。", "第二句！", "- item\n", "1. one\n", "```py\nx = 1\n\ny = 2\n```\n", "```\nopen\n",
     "| a | b |\n|--|--|\n| 1 | 2 |\n",
     "> quote\n", "\r\n", "\t", "   ", "🙂", "x" * 40, "\u00a0", "\x00", "---\n"]
)  # fmt: skip
DOCUMENTS = st.lists(PIECES, max_size=40).map("".join)


@given(DOCUMENTS, st.integers(3, 40))
@settings(max_examples=300)
def test_chunks_add_up_to_the_document_and_fit(text: str, max_tokens: int) -> None:
    chunks = split_document(text, max_tokens=max_tokens, count=len)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(len(chunk.text) <= max_tokens for chunk in chunks)
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


@given(DOCUMENTS)
def test_sections_and_headings_add_up_to_the_document(text: str) -> None:
    sections = split_sections(text)
    at = 0
    for section in sections:
        assert not text[at : section.start].strip() or section.heading is not None
        assert text[section.start : section.start + len(section.text)] == section.text
        at = section.start + len(section.text)
    assert at == len(text) or not text[at:].strip()


def test_chunk_has_the_path_of_headings_above_it() -> None:
    text = "# A\n\none one\n\n## B\n\ntwo two two\n\nthree three three\n\n# C\n\nfour four\n"
    chunks = split_document(text, max_tokens=5, count=words)
    assert [(chunk.text.split()[-1], chunk.path) for chunk in chunks] == [
        ("one", ()),
        ("two", ("A",)),
        ("three", ("A", "B")),
        ("four", ()),
    ]


def test_fences_and_tables_that_fit_are_not_split() -> None:
    fence = "```py\na = 1\n\n# no heading\n\nb = 2\n```\n"
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"
    text = f"{'word ' * 12}\n\n{fence}\n{'word ' * 12}\n\n{table}\n{'word ' * 12}\n"
    chunks = [chunk.text for chunk in split_document(text, max_tokens=30, count=words)]
    assert any(fence.strip() in chunk for chunk in chunks)
    assert any(table.strip() in chunk for chunk in chunks)
    assert split_sections(fence)[0].heading is None


def test_fence_longer_than_a_chunk_is_split() -> None:
    text = "```\n" + "line of code\n" * 50 + "```\n"
    chunks = split_document(text, max_tokens=20, count=words)
    assert len(chunks) > 5 and "".join(chunk.text for chunk in chunks) == text


def test_parts_are_of_similar_size() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(103))
    sizes = [words(part) for part in split(text, max_tokens=100, count=words)]
    assert min(sizes) * 3 > max(sizes)


def test_cjk_text_is_split_after_sentences() -> None:
    text = "图书馆星期一不开门。" * 20
    assert all(c.text.endswith("。") for c in split_document(text, max_tokens=45, count=len))


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# A\nx\n# B\ny\n", ["A", "B"]),
        ("# Title\n## A\nx\n## B\ny\n", [None, "A", "B"]),
        ("A\n===\nx\n\nB\n===\ny\n", ["A", "B"]),
        ("# Only\ntext\n", ["Only"]),
        ("no heading\n", [None]),
        ("```\n# no\n```\n# A\nx\n# B\n", [None, "A", "B"]),
        ("intro\n# A\nx\n# B\ny\n", [None, "A", "B"]),
    ],
)
def test_split_sections(text: str, headings: list[str | None]) -> None:
    assert [section.heading for section in split_sections(text)] == headings
