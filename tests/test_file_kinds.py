"""Names of files that are not text."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from llmtool.encoding import Errors, decode
from llmtool.errors import InputError
from llmtool.file_kinds import find_binary_kind, name_binary


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "text " * 20)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
    return file.getvalue()


KINDS = {
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "a GIF image": b"GIF89a\x01\0\x01\0\xf0\0\0",
    "a WebP image": b"RIFF\x24\0\0\0WEBPVP8 ",
    "a HEIC or AVIF image": b"\0\0\0\x18ftypheic\0\0\0\0",
    "an audio file": b"ID3\x04\0\0\0\0\xff\xfb",
    "a video or audio file": b"\0\0\0\x18ftypmp42\xff",
    "a PDF document; extract its text with pdftotext": b"%PDF-1.7\n1 0 obj\n",
    "a Word document": zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
    "an Excel workbook": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a PowerPoint presentation": zipped("[Content_Types].xml", "ppt/presentation.xml"),
    "a ZIP archive": zipped("notes.txt"),
    "a compressed file": gzip.compress(b"text"),
    "a tar archive": tarred(),
    "a SQLite database": b"SQLite format 3\0\x10\0\x01\x01",
    "a GGUF model": b"GGUF\x03\0\0\0\xff\xff",
    "a program": b"\x7fELF\x02\x01\x01\xff",
}


@pytest.mark.parametrize(("kind", "content"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize("errors", ["strict", "replace"])
@pytest.mark.parametrize("encoding", [None, "latin-1"])
def test_file_that_is_not_text_is_named(
    kind: str, content: bytes, errors: Errors, encoding: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        decode(content, source="in.bin", errors=errors, encoding=encoding)
    kind, _, remedy = kind.partition("; ")
    assert str(caught.value).startswith(f"in.bin is {kind}, not text")
    assert str(caught.value).endswith(remedy)


@pytest.mark.parametrize(
    "text",
    ["GIF89a is a format", "ID3 tags", "MZ", "PK", "%PDF is a format", "RIFF", "a\0b", "BM 7", ""],
)
def test_text_that_begins_like_a_file_kind_is_text(text: str) -> None:
    assert find_binary_kind(text.encode()) is None
    assert decode(text.encode(), source="in.txt") == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_text(encoding: str) -> None:
    data = "Text with many words".encode(encoding)
    assert find_binary_kind(data) is None
    assert decode(data, source="in.txt") == "Text with many words" or encoding == "utf-32-le"


def test_unknown_binary_file_is_named() -> None:
    assert name_binary(b"\xff\0\0\1") == "a binary file"
    assert name_binary(b"MZ\x90\0\3") == "a program"
    assert name_binary("café".encode("latin-1")) is None
    with pytest.raises(InputError, match="in.bin is a binary file, not text"):
        decode(b"\1\2\0\xff", source="in.bin")
