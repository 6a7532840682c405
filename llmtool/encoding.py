"""Bytes from outside as text: UTF-8, whatever the locale."""

from __future__ import annotations

from typing import Literal

from llmtool.errors import ContextOverflow, InputError

MAX_BYTES = 16 * 2**20  # more than any context holds: refused before it is read

Errors = Literal["strict", "replace"]


def decode(data: bytes, *, source: str, errors: Errors | None = "strict", offset: int = 0) -> str:
    """Decode UTF-8; nothing is changed, a byte order mark at the start of a source taken off.

    Args:
        source: what the bytes are called in messages.
        errors: None is strict where there is no option to choose, and none is named.
        offset: where they begin in their source, in bytes.

    Raises:
        InputError: a byte is no UTF-8, with its offset.

    Example:
        >>> decode(b"\\xef\\xbb\\xbfcaf\\xc3\\xa9", source="x")
        'café'
    """
    try:
        text = data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError as exc:
        hint = " (--errors replace goes on)" if errors else ""
        raise InputError(
            f"{source}: byte {offset + exc.start} (0x{data[exc.start]:02x}) is not UTF-8{hint}"
        ) from exc
    return text.removeprefix("\ufeff") if offset == 0 else text


def too_long(source: str) -> ContextOverflow:
    """Return the error for a text that no context can hold."""
    return ContextOverflow(
        f"{source} is longer than {MAX_BYTES // 2**20} MiB, which needs more tokens than any "
        "context has; give a part of it, or split it",
        needed=MAX_BYTES // 16,
        available=MAX_BYTES // 16,
    )
