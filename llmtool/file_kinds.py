"""Name what a file is that is not text, by its first bytes; the names of document formats."""

from __future__ import annotations

import re
from typing import Literal

# The formats of the documents that `translate` reads and writes.
Format = Literal[
    "txt", "md", "html", "srt", "vtt", "po", "json",
    "xliff", "android", "qt", "strings", "properties", "ass", "rst", "docx", "epub",
]  # fmt: skip
# The dialects of Markdown; "auto" means all constructs that are not ambiguous.
Dialect = Literal[
    "auto", "commonmark", "github", "mkdocs", "kramdown", "obsidian", "docusaurus", "mdx", "hugo",
    "myst",
]  # fmt: skip
SAMPLE_BYTES = 8192  # of a file, enough to recognize it
PDF = "a PDF document"
PACKAGES = ("a Word document", "an EPUB book")

# Kinds whose first bytes do not occur in text.
_KINDS = (
    (rb"\x89PNG\r\n", "a PNG image"),
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"GIF8[79]a.{0,3}[\0-\x08]", "a GIF image"),
    (rb"RIFF....WEBP", "a WebP image"),
    (rb"II\*\0|MM\0\*", "a TIFF image"),
    (rb"BM.{4}\0\0\0\0.\0\0\0", "a BMP image"),
    (rb"\0\0[\x01\x02]\0.\0", "an icon"),
    (rb"8BPS\0", "a Photoshop image"),
    (rb"\0...ftyp(?:heic|heix|hevc|mif1|msf1|avif|avis)", "a HEIC or AVIF image"),
    (rb"RIFF....WAVE|ID3[\x02-\x04]|\xff[\xf2\xf3\xfa\xfb\xf1\xf9]", "an audio file"),
    (rb"OggS\0|fLaC[\0\x80]|FORM....AIF[FC]|MThd\0|\0...ftypM4A", "an audio file"),
    (rb"\0...ftyp|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|\0\0\x01[\xb3\xba]", "a video or audio file"),
    (rb"%PDF-\d", PDF),
    (rb"\{\\rtf1", "an RTF document"),
    (rb"%!PS-Adobe", "a PostScript document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (rb"PK\x03\x04.{26}.*?word/", "a Word document"),
    (rb"PK\x03\x04.{26}.*?xl/", "an Excel workbook"),
    (rb"PK\x03\x04.{26}.*?ppt/", "a PowerPoint presentation"),
    (rb"PK\x03\x04.{26}mimetypeapplication/epub", "an EPUB book"),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file"),
    (rb"PK[\x03\x05][\x04\x06]", "a ZIP archive"),
    (rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|\x04\"M\x18|\x1f\x9d", "a compressed file"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb".{257}ustar(?:\0|  \0)", "a tar archive"),
    (rb"!<arch>\n", "a library or package archive"),
    (rb"SQLite format 3\0", "a SQLite database"),
    (rb"GGUF[\x01-\x09]\0", "a GGUF model"),
    (rb".{4}\0{4}\{\"", "a safetensors model"),
    (rb"\x80[\x02-\x05]", "a pickle file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF\r\n", "an HDF5 file"),
    (rb"PAR1[\x15\0]", "a Parquet file"),
    (rb"ARROW1\0\0", "an Arrow file"),
    (rb"\0\x01\0\0\0|OTTO\0|wOF[F2][\0\x01tO]", "a font"),
    (rb".\r\r\n.\0\0\0", "Python bytecode"),
    (rb"\x7fELF|\xfe\xed\xfa|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe|\0asm", "a program"),
)
# Kinds whose first bytes also occur in text; they count only if the rest is not text.
_AMBIGUOUS_KINDS = (
    (rb"GIF8[79]a", "a GIF image"),
    (rb"ID3", "an audio file"),
    (rb"MZ", "a program"),
)
_REMEDIES = {
    "an old Office document": "save it as text",
    "a Word document": "save it as text, or convert it with pandoc",
    "an Excel workbook": "save it as CSV",
    "a PowerPoint presentation": "save it as text",
    "an RTF document": "convert it with pandoc",
    "a PostScript document": "extract its text with ps2ascii",
    "an EPUB book": "convert it with pandoc",
    "an OpenDocument file": "convert it with pandoc",
    PDF: "extract its text with pdftotext",
    **dict.fromkeys(
        ("a ZIP archive", "a compressed file", "a 7z archive", "a RAR archive", "a tar archive"),
        "unpack it",
    ),
}


def find_binary_kind(data: bytes) -> str | None:
    """Return what a file is that cannot be text, by its first bytes, None for text or if unknown.

    Example:
        >>> find_binary_kind(b"\\x89PNG\\r\\n\\x1a\\n"), find_binary_kind(b"caf\\xe9")
        ('a PNG image', None)
    """
    return _match(_KINDS, data)


def name_binary(data: bytes) -> str | None:
    """Return what a file is that is not valid text, None if it may be text in another encoding.

    Example:
        >>> name_binary(b"MZ\\x90\\0\\3"), name_binary(b"\\xff\\0\\0\\1"), name_binary(b"caf\\xe9")
        ('a program', 'a binary file', None)
    """
    kind = find_binary_kind(data)
    if kind is None and b"\0" in data[:SAMPLE_BYTES]:
        kind = _match(_AMBIGUOUS_KINDS, data) or "a binary file"
    return kind


def not_text(kind: str) -> str:
    """Return the end of an error for a file: `is a ZIP archive, not text; unpack it`."""
    remedy = _REMEDIES.get(kind)
    return f"is {kind}, not text{f'; {remedy}' if remedy else ''}"


def _match(kinds: tuple[tuple[bytes, str], ...], data: bytes) -> str | None:
    sample = data[:SAMPLE_BYTES]
    return next((kind for start, kind in kinds if re.match(start, sample, re.DOTALL)), None)
