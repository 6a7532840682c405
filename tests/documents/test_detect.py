"""Recognizing documents by name and content, and refusing formats that text would damage."""

from __future__ import annotations

import pytest

from llmtool.documents.formats import detect
from llmtool.documents.readers.readable import read_document
from llmtool.documents.signatures import declare_utf8, declared_charset, is_page
from llmtool.errors import InputError, UsageError


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.tex", "a.tex is LaTeX, which is not supported; convert it to Markdown with pandoc"),
        ("a.adoc", "a.adoc is AsciiDoc, .* with asciidoctor"),
        ("B.ORG", "B.ORG is Org mode"),
        ("a.lrc", "a lyrics file with times, .* SubRip"),
        ("a.wiki", "MediaWiki markup"),
        ("a.typ", "Typst"),
        ("a.textile", "Textile"),
        ("a.ttml", "a subtitle file"),
        ("a.eml", "an e-mail, .*; save its text"),
    ],
)
def test_formats_that_text_would_damage_are_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        detect(name, "Some text")
    assert "txt" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("% comment\n\\documentclass{article}\n", "LaTeX"),
        ("#+TITLE: Notes\n\n* One\n", "Org mode"),
        ("= Guide\n:toc:\n\nText.\n", "AsciiDoc"),
        ("= Guide\nAnn <a@b.c>\n\nText.\n\n== First steps\n\nMore.\n", "AsciiDoc"),
        ("[ar:Ann]\n[00:12.00]One\n[00:15.20]Two\n", "a lyrics file with times"),
    ],
)
def test_format_is_refused_by_content_without_a_name(text: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"the text is {kind}, which is not supported"):
        detect(None, text)


@pytest.mark.parametrize(
    "text",
    [
        "Begin with \\documentclass.",
        "#+1 for it",
        "= 5 * 3\n\nis 15",
        "[12:30] <ann> Hi",
        "[1:2.3] x",
    ],
)
def test_text_that_resembles_another_format_is_text(text: str) -> None:
    assert detect(None, text) == "txt"


def test_latex_is_summarized_as_text() -> None:
    assert read_document(b"\\documentclass{a}\nHi", name="a.tex").text.endswith("Hi")


def test_rtf_is_not_text() -> None:
    with pytest.raises(InputError, match="a.rtf is an RTF document, not text; convert it with"):
        read_document(b"{\\rtf1\\ansi Hi}", name="a.rtf")


DECLARED = {
    "meta": ('<!doctype html><meta charset="koi8-r"><p>charset=x', "koi8-r"),
    "meta with a type": (
        "<meta http-equiv=Content-Type content='text/html; charset=gbk'>",
        "gbk",
    ),
    "XML": ("<?xml version='1.0' encoding='iso-8859-1'?><a>", "iso-8859-1"),
    "catalog": ('msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=big5\\n"\n', "big5"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_declared_encoding_is_found_and_replaced(name: str) -> None:
    text, charset = DECLARED[name]
    assert declared_charset(text.encode()) == charset
    assert declare_utf8(text) == text.replace(charset, "UTF-8")


def test_charset_in_prose_is_not_a_declaration() -> None:
    text = "In PHP, charset=gbk and encoding='gbk' are old."
    assert declared_charset(text.encode()) is None
    assert declare_utf8(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>",
        "\ufeff<html>",
        "<!-- x --><head>",
        "<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'><html xmlns='y'>",
    ],
)
def test_pages_are_recognized_by_their_start(text: str) -> None:
    assert is_page(text)
    for data in (text.encode(), text.encode("utf-16")):
        assert read_document(data, name="-", keeps_markup=True).text


FRAGMENTS = [
    "<p>The library is closed.</p>\n<ul><li>One</li><li>Two</li></ul>",
    "<p>One<p>Two",
    "<!-- Note -->\n<table><tr><td>One<td>Two</table>",
    "<script>if (1 < 2) x()</script>\n<p>Hello there</p>",
    "<h1>The library</h1>\n<p>It is closed on Mondays.</p>\nBye",
]


@pytest.mark.parametrize("text", FRAGMENTS)
def test_part_of_a_page_is_html(text: str) -> None:
    assert detect(None, text) == "html"
    document = read_document(text.encode(), name="standard input")
    assert document.kind == "html"
    assert "<" not in document.text
    assert read_document(text.encode(), name="notes.txt").text == text


@pytest.mark.parametrize(
    "text",
    [
        "<h1 align=center>Title</h1>\n\n# Use\n\n- one\n- two",
        "<div>x</div>\n\n# Use",
        "<b>Note</b> that it is closed.",
        "<note><to>Anna</to></note>",
        "<me@example.org> wrote:\n\nHello",
    ],
)
def test_other_text_that_begins_with_a_tag_is_not_html(text: str) -> None:
    assert not is_page(text)
    assert detect(None, text) != "html"
    assert read_document(text.encode(), name="standard input").text == text
