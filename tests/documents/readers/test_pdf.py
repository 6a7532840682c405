"""The text of PDF pages."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.documents.readers.pdf import (
    clean_page,
    extract_pages,
    join_divided,
    remove_running_lines,
)
from llmtool.errors import InputError


def test_ligatures_are_letters() -> None:
    assert clean_page("The ﬁrst eﬀort, a ﬂat baﬄe and oﬃce ") == (
        "The first effort, a flat baffle and office"
    )


def test_divided_words_are_joined_and_compounds_keep_their_hyphen() -> None:
    assert join_divided("infor-\nmation") == "information"
    assert join_divided("infor\xad\nmation infor\u2010 \n  mation") == "information information"
    assert join_divided("well-\nknown, as a well-known fact") == "well-known, as a well-known fact"
    assert join_divided("a state-of-the-\nart self-\nservice") == "a state-of-the-art self-service"
    assert join_divided("ex-\nample, short-\nage, high-\nest") == "example, shortage, highest"
    assert join_divided("non-lin-\near, a linear fit") == "non-linear, a linear fit"
    assert join_divided("Jean-\nLuc and COVID-\n19") == "Jean-Luc and COVID-\n19"
    assert join_divided("a list:\n- one\n- two") == "a list:\n- one\n- two"


def test_running_headers_and_page_numbers_are_removed() -> None:
    pages = [f"Annual report {i}\nText of page {i}.\nPage {i} of 4" for i in range(1, 5)]
    kept, n = remove_running_lines(pages)
    assert kept == [f"Text of page {i}." for i in range(1, 5)]
    assert n == 8
    assert remove_running_lines(pages[:2]) == (pages[:2], 0)


@given(st.text("abc-\n \xad"))
def test_joining_loses_no_letter(text: str) -> None:
    letters = [c for c in text if c.isalpha()]
    assert [c for c in join_divided(text) if c.isalpha()] == letters


def test_long_words_are_joined_in_linear_time() -> None:
    word = "a" * 100_000
    assert join_divided(f"{word}-\nb") == f"{word}b"


def test_part_that_is_too_large_is_an_error_that_says_what_to_do() -> None:
    pypdf = pytest.importorskip("pypdf")
    from pypdf.generic import DictionaryObject, NameObject, StreamObject

    writer = pypdf.PdfWriter()
    stream = StreamObject()
    stream.set_data(b" " * 80_000_000)  # above the limit of pypdf, 75 MB
    page = writer.add_blank_page(100, 100)
    page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject()})
    content = io.BytesIO()
    writer.write(content)
    with pytest.raises(InputError, match="too large, or contains itself; print it to a new PDF"):
        extract_pages(content.getvalue())
