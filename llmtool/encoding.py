"""Decode input as UTF-8, regardless of the locale."""

from __future__ import annotations

from typing import Literal

from llmtool.errors import ContextOverflow, InputError

MAX_BYTES = 16 * 2**20  # longer input exceeds every context and is rejected unread

Errors = Literal["strict", "replace"]


def decode(data: bytes, *, source: str, errors: Errors | None = "strict", offset: int = 0) -> str:
    """Decode UTF-8; a byte order mark at the start of the source is removed.

    Args:
        source: the name of the source in error messages.
        errors: "strict" or "replace"; None is strict, and the error does not mention `--errors`.
        offset: the offset of the bytes in their source.

    Raises:
        InputError: the bytes are not UTF-8; the message has the offset.

    Example:
        >>> decode(b"\\xef\\xbb\\xbfcaf\\xc3\\xa9", source="x")
        'café'
    """
    try:
        text = data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError as exc:
        hint = "; convert it to UTF-8, or pass --errors replace" if errors else ""
        byte = f"byte {offset + exc.start} (0x{data[exc.start]:02x})"
        raise InputError(f"{source}: not UTF-8 at {byte}{hint}") from exc
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


def too_long(source: str) -> ContextOverflow:
    """Return the error for a text longer than `MAX_BYTES`."""
    return ContextOverflow(
        f"{source} is longer than {MAX_BYTES // 2**20} MiB, more than any context holds; "
        "shorten or split it",
        needed=MAX_BYTES // 16,
        available=MAX_BYTES // 16,
    )
