"""Extracting plain text from documents."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest

from llmtool import worker
from llmtool.documents.readers import web_text
from llmtool.documents.readers.readable import read_document
from llmtool.errors import InputError

EMAIL = b"""Subject: Lunch
From: a@example.org
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain

At noon?
--x
Content-Disposition: attachment; filename=menu.pdf

--x--
"""


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", "\ufeffcafé\n".encode(), "café\n"),
        ("a.html", b"<h1>Hi</h1><script>x</script><p>One <b>two</b>", "# Hi\n\nOne two"),
        ("standard input", b"<!doctype html><ul><li>One</ul>", "- One"),
        ("a.eml", EMAIL, "Subject: Lunch\nFrom: a@example.org\n\nAt noon?"),
    ],
    ids=["text", "HTML", "HTML detected by content", "e-mail"],
)
def test_text_is_extracted_without_markup(name: str, content: bytes, text: str) -> None:
    assert read_document(content, name=name).text == text


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tex", b"\\section{One}"), ("standard input", b"% x\n\\documentclass{article}")],
)
def test_note_names_a_format_that_is_read_with_its_markup(name: str, content: bytes) -> None:
    document = read_document(content, name=name)
    assert document.text == content.decode()
    assert document.notes == (
        "read with its markup: it is LaTeX; convert it to Markdown with pandoc",
    )


def test_notes_name_skipped_attachments() -> None:
    assert read_document(EMAIL, name="a.eml").notes == ("skipped attachments: menu.pdf",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"a\0b", "a.txt is a binary file"),
        ("a.txt", b" \n", "a.txt is empty"),
        ("a.txt", b"caf\xe9", "a.txt: not UTF-8 at byte 3 "),
        ("a.eml", b"Subject: Lunch\n\n", "a.eml: the e-mail has no text"),
    ],
    ids=["binary", "empty", "not UTF-8", "e-mail without text"],
)
def test_errors_name_the_file(name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_document(content, name=name)


def test_invalid_utf8_can_be_replaced() -> None:
    assert read_document(b"caf\xe9", name="a.txt", errors="replace").text == "caf\ufffd"


@pytest.mark.parametrize(
    ("content", "media_type", "charset", "text"),
    [
        (b"<p>caf\xe9", "text/html", "iso-8859-1", "café"),
        (b"<p>\x93caf\xe9\x94", "text/html", "latin1", "“café”"),
        ("<p>café".encode(), "text/html", "iso-8859-1", "café"),
        (b"<meta charset=windows-1251><p>\xcf\xf0\xe8", "text/html", None, "При"),
        (b"<meta charset=koi8-r><p>\xcf\xf0\xe8", "text/html", "windows-1251", "При"),
        ("\ufeff<p>é".encode("utf-16"), "text/html", "utf-8", "é"),
        (b"<meta charset=utf-16><p>a", "text/html", None, "a"),
        ("日本".encode("iso-2022-jp"), "text/plain", "iso-2022-jp", "日本"),
        ("<p>é".encode(), "text/html", "no-such-charset", "é"),
        (b"caf\xe9", "text/plain", "iso-8859-1", "café"),
        (b"<!doctype html><p>One", "text/plain", None, "<!doctype html><p>One"),
        (b"<!doctype html><p>One", None, None, "One"),
    ],
)
def test_declared_encoding_and_type_are_used(
    content: bytes, media_type: str | None, charset: str | None, text: str
) -> None:
    found = read_document(content, name="page", media_type=media_type, charset=charset)
    assert found.text == text


def test_invalid_bytes_of_html_can_be_replaced() -> None:
    content = "<p>café mä".encode() + b"\xff"
    with pytest.raises(InputError, match="page.html: not UTF-8 at byte 12"):
        read_document(content, name="page.html")
    assert read_document(content, name="page.html", errors="replace").text == "café mä\ufffd"


CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.mark.parametrize(
    ("name", "included", "markup"),
    [
        ("good_morning.ass", "", "Dialogue:"),
        ("app.xlf", "", "<trans-unit"),
        ("Localizable.strings", "", '" = "'),
        ("messages.properties", "The end", "last="),
        ("strings.xml", "Open the book", "<string"),
        ("reader_de.ts", "Close it", "<source>"),
    ],
)
def test_subtitles_and_messages_are_read_without_markup(
    name: str, included: str, markup: str
) -> None:
    content = (CORPUS / name).read_bytes()
    assert markup in content.decode()
    document = read_document(content, name=name)
    assert included in document.text
    assert markup not in document.text
    assert len(document.text) > 20
    assert read_document(content, name=name, keeps_markup=True).text == content.decode()


@pytest.mark.parametrize("name", ["a.ts", "a.xml", "a.properties"])
def test_other_files_with_the_suffix_of_messages_are_read_as_text(name: str) -> None:
    source = "let x: number = 1\\u00;" if name != "a.xml" else "<layout>text</layout>"
    assert read_document(source.encode(), name=name).text == source


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (IndexError("list index\nout of range"), "IndexError: list index out of range"),
        (RecursionError(), "it is nested too deeply"),
        (KeyError("a"), "KeyError: 'a'"),
    ],
)
def test_any_error_of_a_parser_names_the_document(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(content: str) -> None:
        raise error

    monkeypatch.setattr(web_text, "extract_text", fail)
    with pytest.raises(InputError, match=f"^in.html: cannot be read: {reason}$"):
        read_document(b"<p>Text", name="in.html")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.eml", EMAIL),
        ("in.html", b"<p>One</p>" * 20_000),
        ("in.properties", b"a = One two\n" * 20_000),
    ],
)
def test_a_document_is_parsed_in_a_child_process(
    name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **_options: object) -> None:
        raise InputError("takes more than 5 s to read")

    expected = read_document(content, name=name)
    assert expected.text
    monkeypatch.setattr(worker, "call", fail)
    with pytest.raises(InputError, match=f"^{name}: takes more than 5 s to read$"):
        read_document(content, name=name)


def test_short_pages_are_parsed_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "call", None)
    assert read_document(b"<p>One</p>", name="in.html").text == "One"


def zip_bomb() -> bytes:
    """Return a Word document of 30 kB whose text takes 30 MB, and far more when it is parsed."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f"<w:p xmlns:w='x'>{'<w:r/>' * 5_000_000}</w:p>")
    return target.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of memory")
def test_a_zip_bomb_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SECONDS", 1)
    with pytest.raises(
        InputError, match="^a.docx: takes more than [0-9]+ (s|MiB of memory) to read; "
    ):
        read_document(zip_bomb(), name="a.docx")
