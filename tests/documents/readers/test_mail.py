"""The text of e-mail messages, also of malformed ones."""

from __future__ import annotations

import base64
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.documents.readers.mail import extract_messages
from llmtool.documents.readers.readable import read_document
from llmtool.errors import InputError

DISPOSITION = 'Content-Type: image/png\nContent-Disposition: attachment; filename="x'

BODIES: dict[str, tuple[bytes, str]] = {
    "unknown charset": (
        b"Subject: x\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\nThe body text.\r\n",
        "Subject: x\n\nThe body text.",
    ),
    "malformed parameter": (
        b"Subject: x\r\nContent-Type: text/plain; name*\r\n\r\nThe body text.\r\n",
        "Subject: x\n\nThe body text.",
    ),
    "comments and groups in addresses": (
        b"Subject: x\r\nFrom: (c):\r\nTo: (c):\r\n\r\nThe body text.\r\n",
        "Subject: x\nFrom: (c):\nTo: (c):\n\nThe body text.",
    ),
    "UTF-8 without a charset": (
        "Subject: x\n\nGrüße, der Text ist da.\n".encode(),
        "Subject: x\n\nGrüße, der Text ist da.",
    ),
    "UTF-7": (
        b"Subject: =?utf-7?Q?Caf+AOk-?=\nContent-Type: text/plain; charset=UTF-7\n\nA caf+AOk-.\n",
        "Subject: Café\n\nA café.",
    ),
    "flowed": (
        b"Subject: x\nContent-Type: text/plain; format=flowed\n\nOne line \nand another.\n"
        b"> A quoted \n> line\n>> and \n> one\n \tstuffed\n-- \nAda \nB\n",
        "Subject: x\n\nOne line and another.\n> A quoted line\n>> and \n> one\n\tstuffed\n-- \n"
        "Ada B",
    ),
    "flowed without spaces": (
        b"Subject: x\nContent-Type: text/plain; Format=Flowed; DelSp=Yes\n\nOne  \nwo \nrd.\n",
        "Subject: x\n\nOne word.",
    ),
    "UTF-8 declared as ASCII": (
        "Subject: x\nContent-Type: text/plain; charset=us-ascii\n\nGrüße\n".encode(),
        "Subject: x\n\nGrüße",
    ),
    "GBK declared as GB2312": (
        b"Subject: x\nContent-Type: text/plain; charset=gb2312\n\n" + "镕，你好".encode("gbk"),
        "Subject: x\n\n镕，你好",
    ),
    "base64": (
        b"Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"
        b"\n\n" + base64.encodebytes("Grüße".encode()),
        "Subject: x\n\nGrüße",
    ),
    "truncated base64": (
        b"Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"
        b"\n\n" + base64.encodebytes("Grüße aus Köln".encode())[:-4],
        "Subject: x\n\nGrüße aus Kö",
    ),
    "plain text declared as base64": (
        b"Subject: x\nContent-Transfer-Encoding: base64\n\nThis text is plain, and has words.\n",
        "Subject: x\n\nThis text is plain, and has words.",
    ),
    "base64 with other characters": (
        b"Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"
        b"\n\n" + base64.encodebytes("Grüße".encode()) + b"!!\n",
        "Subject: x\n\nGrüße",
    ),
    "ASCII declared as UTF-16": (
        b"Subject: x\nContent-Type: text/plain; charset=utf-16\n\nSome text\n",
        "Subject: x\n\nSome text",
    ),
    "encoded words": (
        b"Subject: =?utf-8?B?R3LDvMOfZQ==?= =?koi8-r?Q?=F0=D2=C9?=\nFrom: =?x-no?Q?a?= <a@b.c>\n"
        b"\nText\n",
        "Subject: GrüßeПри\nFrom: a <a@b.c>\n\nText",
    ),
    "NUL in an encoded word and in the text": (
        b"Subject: =?x-no?b?AAAA?= x\nFrom: a@b.c\n\nThe\0 text\n",
        "Subject:  x\nFrom: a@b.c\n\nThe text",
    ),
    "raw bytes in a header": (
        "Subject: Grüße\n\nText\n".encode(),
        "Subject: Grüße\n\nText",
    ),
    "empty plain part": (
        b"Subject: x\nContent-Type: multipart/alternative; boundary=B\n\n--B\n"
        b"Content-Type: text/plain\n\n\n--B\nContent-Type: text/html\n\n<p>One <b>two</b></p>\n"
        b"--B--\n",
        "Subject: x\n\nOne two",
    ),
    "plain text is preferred": (
        b"Subject: x\nContent-Type: multipart/alternative; boundary=B\n\n--B\n"
        b"Content-Type: text/html\n\n<p>One</p>\n--B\nContent-Type: text/plain\n\nOne\n--B--\n",
        "Subject: x\n\nOne",
    ),
    "plain text that points to the HTML": (
        b"Subject: x\nContent-Type: multipart/alternative; boundary=B\n\n--B\n\n"
        b"Please view this email in a browser: https://x.org/" + b"v" * 400 + b"\n--B\n"
        b"Content-Type: text/html\n\n<p>" + b"The invoice is due. " * 20 + b"</p>\n--B--\n",
        "Subject: x\n\n" + ("The invoice is due. " * 20).strip(),
    ),
    "several parts": (
        b"Subject: x\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nOne\n--B\n"
        b"Content-Type: text/html\n\n<p>Two</p>\n--B--\n",
        "Subject: x\n\nOne\n\nTwo",
    ),
    "HTML with images": (
        b"Subject: x\nContent-Type: multipart/alternative; boundary=B\n\n--B\n\n \n--B\n"
        b"Content-Type: multipart/related; boundary=C\n\n--C\nContent-Type: text/html\n\n<p>One\n"
        b"--C\nContent-Type: image/png\n\nx\n--C--\n--B--\n",
        "Subject: x\n\nOne",
    ),
    "forwarded message": (
        b"Subject: Fwd\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nSee below.\n--B\n"
        b"Content-Type: message/rfc822\n\nSubject: y\nFrom: a@b.c\n\nThe invoice is due.\n--B--\n",
        "Subject: Fwd\n\nSee below.\n\nSubject: y\nFrom: a@b.c\n\nThe invoice is due.",
    ),
    "quoted text": (b"Subject: x\n\nYes.\n\n> At noon?\n", "Subject: x\n\nYes.\n\n> At noon?"),
    "missing boundary": (
        b"Subject: x\nContent-Type: multipart/mixed\n\nThe text.\n",
        "Subject: x\n\nThe text.",
    ),
    "mailbox": (
        b"From a@b.c Mon Jan  1 00:00:00 2024\nSubject: x\n\nOne\n\n"
        b"From a@b.c Tue Jan  2 00:00:00 2024\nSubject: y\n\nTwo\n",
        "Subject: x\n\nOne\n\nSubject: y\n\nTwo",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_text_of_a_message(name: str) -> None:
    content, text = BODIES[name]
    assert extract_messages(content).text == text


def test_detected_encoding_and_attachments_are_reported() -> None:
    content = (
        b"Subject: x\nContent-Type: multipart/mixed; boundary=B\n\n--B\n"
        b"Content-Type: text/plain; charset=utf-8\n\n"
        + "Größe, schöne Grüße".encode("cp1252")
        + b"\n--B\nContent-Type: application/pdf; name=a.pdf\n\nx\n--B--\n"
    )
    found = extract_messages(content)
    assert found.text == "Subject: x\n\nGröße, schöne Grüße"
    assert found.notes == (
        "read text declared as utf-8 as cp1252 (detected)",
        "skipped attachments: a.pdf",
    )


def test_only_notes_of_the_alternative_that_is_used_are_reported() -> None:
    source = (
        "Content-Type: multipart/alternative; boundary=B\n\n--B\n\nSee the HTML.\n--B\n"
        "Content-Type: multipart/related; boundary=C\n\n--C\nContent-Type: text/html\n\n<p>{}\n"
        "--C\nContent-Type: image/png\n\nx\n--C--\n--B--\n"
    )
    assert extract_messages(source.format("See the HTML.").encode()).notes == ()
    assert extract_messages(source.format("A long text. " * 9).encode()).notes == (
        "used the HTML, which has far more text than the plain text",
        "skipped attachments: image/png",
    )


@pytest.mark.parametrize(("n_levels", "is_read"), [(48, True), (53, False)])
def test_parts_nested_deeply_are_skipped_with_a_note(n_levels: int, is_read: bool) -> None:
    nested = "".join(
        f'Content-Type: multipart/mixed; boundary="b{i}"\n\n--b{i}\n' for i in range(n_levels)
    )
    parts = f'Content-Type: multipart/mixed; boundary="o"\n\n--o\n\nouter\n--o\n{nested}\ninner\n'
    found = extract_messages(f"Subject: x\n{parts}".encode())
    assert "outer" in found.text and ("inner" in found.text) == is_read
    note = "skipped parts that are nested more than 50 deep"
    assert (note in found.notes) == (not is_read)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Subject: x\n\n", "the e-mail has no text"),
        (b"Subject: x\nContent-Type: application/pkcs7-mime\n\nMIIB", "the e-mail is encrypted"),
    ],
)
def test_message_without_text_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract_messages(content)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_message_is_recognized_by_its_headers(end: str) -> None:
    text = "Received: from x\n by y\nSubject: Hi\n\nOne =\ntwo".replace("\n", end).encode()
    assert read_document(text, name="standard input").kind == "email"
    for other in ("Note: this\nTo: do\nis a list", "Title: x\nDate: y\n\nText", "From here on\n"):
        assert read_document(other.encode(), name="standard input").kind == "text"


HEADER = st.sampled_from(["From", "To", "Subject", "Date", "Content-Type", "Content-Disposition"])
PIECE = st.sampled_from([*"ab(<>\"@:;,=?*'%\\/é ", "=?utf-8?q?", "text/", "charset="])
VALUE = st.lists(PIECE, max_size=12).map("".join)


@given(st.lists(st.tuples(HEADER, VALUE), max_size=6))
def test_malformed_headers_never_lose_the_text(headers: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\n" for name, value in headers)
    content = f"X-First: 1\n{lines}\nThe body text.\n".encode()
    try:
        assert "The body text." in extract_messages(content).text
    except InputError:
        assert "content-" in lines.lower()  # as an attachment, or not as text


@pytest.mark.parametrize(
    "unit", [";", "*", '"', "; a", '; a*0="x"', "; filename*1*=utf-8''x", "\\"]
)
@pytest.mark.parametrize("name", ["Content-Type: multipart/mixed; boundary=b; x", DISPOSITION])
def test_hostile_parameters_take_linear_time(name: str, unit: str) -> None:
    header = f"{name}{unit * (200_000 // len(unit))}"
    message = f"Subject: x\n{header}\n\n--b\n\nHello.\n--b--\n".encode()
    started = time.process_time()
    with contextlib.suppress(InputError):  # no text, in an attachment
        extract_messages(message)
    assert time.process_time() - started < 5
