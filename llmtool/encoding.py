"""Decode input as UTF-8, UTF-16 or a given encoding, regardless of the locale."""

from __future__ import annotations

import codecs
from typing import Literal

from llmtool.errors import ContextOverflow, InputError, UsageError
from llmtool.file_kinds import find_binary_kind, name_binary, not_text
from llmtool.option_names import option

MAX_BYTES = 16 * 2**20  # longer input exceeds every context and is rejected unread

Errors = Literal["strict", "replace"]


def decode(
    data: bytes,
    *,
    source: str,
    errors: Errors | None = "strict",
    encoding: str | None = None,
    offset: int = 0,
) -> str:
    """Decode bytes; a byte order mark at the start of the source is removed.

    Args:
        source: the name of the source in error messages.
        errors: "strict" or "replace"; None is strict, and the error does not mention options.
        encoding: a name that `check_encoding` accepts; None is UTF-8, or what `detect_encoding`
            detects.
        offset: the offset of the bytes in their source.

    Raises:
        InputError: the bytes are not valid, and the message has the offset; or they are those of
            an image, an archive or another file that is not text, and the message names it.

    Example:
        >>> decode(b"\\xef\\xbb\\xbfcaf\\xc3\\xa9", source="x")
        'café'
    """
    if not offset and (kind := find_binary_kind(data)):
        raise InputError(f"{source} {not_text(kind)}")
    encoding = encoding or (None if offset else detect_encoding(data)) or "UTF-8"
    try:
        text = data.decode(encoding, errors or "strict")
    except UnicodeDecodeError as exc:
        if not offset and (kind := name_binary(data)):
            raise InputError(f"{source} {not_text(kind)}") from exc
        hint = ""
        if errors:
            names = option("encoding", "NAME"), option("errors", "replace")
            hint = f"; pass {names[0]}, such as latin-1, or {names[1]}"
        byte = f"byte {offset + exc.start} (0x{data[exc.start]:02x})"
        raise InputError(f"{source}: not {encoding} at {byte}{hint}") from exc
    return text.removeprefix("\ufeff") if offset == 0 else text


def escape_name(name: str) -> str:
    """Return a file name as valid Unicode, for results, keys and messages.

    Python represents a byte of a file name that is not UTF-8 as a surrogate, which UTF-8 cannot
    encode.

    Example:
        >>> escape_name("caf\\udce9.txt")
        'caf\\\\xe9.txt'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def detect_encoding(data: bytes) -> str | None:
    """Return the encoding of a text in UTF-16 or UTF-32 by its first bytes, else None.

    Without a byte order mark, UTF-16 is detected if the text begins with ASCII characters.

    Example:
        >>> detect_encoding("id,text".encode("utf-16-le")), detect_encoding(b"id,text")
        ('UTF-16-LE', None)
    """
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    even, odd = data[:8:2], data[1:8:2]
    if len(odd) < 2:
        return None
    if all(even) and not any(odd):
        return "UTF-16-LE"
    return "UTF-16-BE" if all(odd) and not any(even) else None


# Encodings that web pages declare by the name of a subset, as in the WHATWG's Encoding Standard.
_SUPERSETS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874",
    "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
    "euc_kr": "cp949", "big5": "big5hkscs",
}  # fmt: skip


def decode_declared(
    data: bytes,
    declared: str | None,
    *,
    source: str,
    errors: Errors | None = "strict",
    encoding: str | None = None,
) -> str:
    """Decode the text of a web page or an HTML file, which may declare its encoding.

    In order of precedence: `encoding`, a byte order mark, UTF-8 if the text is valid UTF-8 with
    characters that are not ASCII, and the declared encoding, if it is known.

    Raises:
        InputError: as `decode`.

    Example:
        >>> decode_declared(b"\x93caf\xe9\x94", "iso-8859-1", source="x")
        '“café”'
    """
    if encoding is None and declared is not None and detect_encoding(data) is None:
        try:
            known = codecs.lookup(declared).name
            "".encode(known)  # some codecs are not of text
        except (LookupError, ValueError):
            known = None
        encoding = None if known is None else _SUPERSETS.get(known, known)
        if encoding is not None and not data.isascii() and _is_valid(data, "utf-8"):
            encoding = None
        if encoding == "cp1252" and not _is_valid(data, encoding):
            encoding = "latin-1"  # every byte is a character
    return decode(data, source=source, errors=errors, encoding=encoding)


def _is_valid(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def check_encoding(name: str) -> str:
    """Return the name of a text encoding.

    Raises:
        UsageError: Python does not know the encoding.
    """
    try:
        b"".decode(name)
        "".encode(name)
    except (LookupError, ValueError) as exc:
        raise UsageError(
            f"unknown encoding {name!r}; use utf-8, utf-16, latin-1, cp1252 or another that Python "
            "supports"
        ) from exc
    return name


def too_long(source: str) -> ContextOverflow:
    """Return the error for a text longer than `MAX_BYTES`."""
    return ContextOverflow(
        f"{source} is longer than {MAX_BYTES // 2**20} MiB, more than any context holds; "
        "shorten or split it",
        needed=MAX_BYTES // 16,
        available=MAX_BYTES // 16,
    )
