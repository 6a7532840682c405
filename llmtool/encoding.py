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
